//! gitreceive
