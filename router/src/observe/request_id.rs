//! `RequestId`: what an access line, an error page and the app call one request.

/// The id of one request: 96 random bits, in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct RequestId([u8; 24]);

impl RequestId {
    /// Takes the lower 96 bits of a random number.
    pub fn new(bits: u128) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (at, digit) in text.iter_mut().enumerate() {
            *digit = DIGITS[(bits >> (at * 4)) as usize & 15];
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}
