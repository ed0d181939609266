//! From a source tree to a slug image: what of the source is taken, the layer of `/app`, its record, its image.

pub mod build_record;
pub mod image;
pub mod layer;
pub mod processes;
pub mod slugignore;
pub mod source_filter;
pub mod source_key;
