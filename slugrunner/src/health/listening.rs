//! Which ports a container's processes listen on, read from the host: the truth behind "it does not answer".

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// State `LISTEN` in `/proc/<pid>/net/tcp`.
const LISTEN: &str = "0A";

/// Listening sockets in the network namespace of a process; none when it can not be read.
pub fn of_process(pid: u32) -> Option<Vec<SocketAddr>> {
    let v4 = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    let v6 = std::fs::read_to_string(format!("/proc/{pid}/net/tcp6")).unwrap_or_default();
    Some(parse(&v4, &v6))
}

/// Reads the two tables; the engine's own name server inside the container is left out.
pub fn parse(v4: &str, v6: &str) -> Vec<SocketAddr> {
    let found: BTreeSet<SocketAddr> = v4.lines().chain(v6.lines()).filter_map(line).collect();
    found.into_iter().filter(|address| address.ip() != IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11))).collect()
}

fn line(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each 32-bit word is in the byte order of the machine.
    let words: Vec<[u8; 4]> = (0..address.len() / 8)
        .map(|n| u32::from_str_radix(&address[n * 8..n * 8 + 8], 16).map(u32::to_ne_bytes))
        .collect::<Result<_, _>>()
        .ok()?;
    let ip = match words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            let ip = Ipv6Addr::from(bytes);
            ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Whether a socket can be reached from outside its container.
pub fn is_open(address: &SocketAddr) -> bool {
    !address.ip().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_read_and_only_listeners_are_kept() {
        let v4 = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n   \
                  1: 0B00007F:A3C1 00000000:0000 0A 0\n   2: 020011AC:1388 030011AC:D431 01 0\n";
        let v6 = "  sl  local_address\n   0: 00000000000000000000000000000000:1388 00000000000000000000000000000000:0000 0A 0\n";
        let found: Vec<String> = parse(v4, v6).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.1:8080", "[::]:5000"]);
    }

    #[test]
    fn our_own_listener_is_found_in_the_real_table() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        assert!(of_process(std::process::id()).expect("a table").contains(&address));
    }
}
