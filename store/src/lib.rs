//! The only crate that knows where facts live: PostgreSQL for durable truth, coordination for what must be seen at once.
//!
//! Owns the schema, the coding of stored documents, sealing, and the PostgreSQL child of a one-machine install. Must never
//! decide anything: policy is the manager's, placement the scheduler's.

pub mod atomic_file;
pub mod live;
pub mod postgres;
pub mod random;
pub mod records;
pub mod seal;

pub use live::{Live, LiveError};
pub use records::{Records, RecordsError};
pub use seal::Keyring;
