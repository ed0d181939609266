//! `Xorshift`: the chance of one worker. Seeded from the system's randomness once; good enough for draws and request ids,
//! must never be used for secrets.

use crate::balance::Chance;

/// xorshift64*.
#[derive(Debug, Clone)]
pub struct Xorshift(u64);

impl Xorshift {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        let mut made = Self(seed ^ 0x9e37_79b9_7f4a_7c15);
        if made.0 == 0 {
            made.0 = 1;
        }
        // Seeds that differ in one bit begin alike; a few rounds part them.
        for _ in 0..8 {
            made.next();
        }
        made
    }

    /// Seeded from the system.
    pub fn from_system() -> Self {
        let mut seed = [0; 8];
        let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed);
        filled.expect("the kernel gives random bytes");
        Self::new(u64::from_ne_bytes(seed))
    }
}

impl Chance for Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
