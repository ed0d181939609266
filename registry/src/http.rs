//! The HTTP half: the endpoints of the distribution specification over the registry.

pub(crate) mod blob_handlers;
pub(crate) mod byte_range;
pub(crate) mod listing_handlers;
pub(crate) mod manifest_handlers;
pub(crate) mod request_body;
pub(crate) mod request_context;
pub(crate) mod request_target;
pub(crate) mod router;
pub(crate) mod server;
pub(crate) mod upload_handlers;
