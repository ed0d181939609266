//! An IPv4 subnet in CIDR form: the key of egress rules and the space that instance addresses are drawn from.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Why a text is not a subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an IPv4 subnet like `172.31.240.0/20`")]
pub struct InvalidSubnet {
    /// The text as it was given.
    pub text: String,
}

/// A subnet; bits beyond the prefix are always zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// A single address.
    pub fn host(address: Ipv4Addr) -> Self {
        Self { base: address.to_bits(), prefix: 32 }
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// Whether an address lies in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.base
    }

    /// The address of the bridge on the host: the first one.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.base + 1)
    }

    /// Addresses for containers: all but the network, the gateway and the broadcast address.
    pub fn usable(self) -> impl Iterator<Item = Ipv4Addr> {
        let last = self.base | !self.mask();
        (self.base.saturating_add(2)..last).map(Ipv4Addr::from_bits)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from_bits(self.base), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Self, InvalidSubnet> {
        let bad = || InvalidSubnet { text: text.into() };
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(bad)?;
        let subnet = Self { base: address.to_bits(), prefix };
        Ok(Self { base: subnet.base & subnet.mask(), ..subnet })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_reads_back_and_knows_its_addresses() {
        let subnet: Subnet = "172.31.240.9/20".parse().expect("a subnet");
        assert_eq!(subnet.to_string(), "172.31.240.0/20");
        assert_eq!(subnet.gateway(), Ipv4Addr::new(172, 31, 240, 1));
        assert!(subnet.contains(Ipv4Addr::new(172, 31, 255, 255)) && !subnet.contains(Ipv4Addr::new(172, 31, 239, 255)));
        let all: Vec<_> = "10.0.0.0/29".parse::<Subnet>().expect("a subnet").usable().collect();
        assert_eq!((all.len(), all[0], all[4]), (5, Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 6)));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::1/64"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
        assert!("0.0.0.0/0".parse::<Subnet>().expect("everything").contains(Ipv4Addr::BROADCAST));
    }
}
