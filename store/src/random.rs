//! Random bytes from the operating system: the one place where chance enters.

use ring::rand::{SecureRandom, SystemRandom};

/// `N` random bytes.
///
/// # Panics
/// When the operating system has no randomness to give: nothing that needs it may go on.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A secret for a token, as 40 lower-case letters and digits.
pub fn secret() -> String {
    hex::encode(bytes::<20>())
}
