//! slugrunner
