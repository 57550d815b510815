//! Special addresses: those that no shop and no Omneo can have, so that nothing is sent to them unless it is allowed by
//! name. They come from IANA's registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), and from those of
//! multicast.
//!
//! Pure: a table, and how it is looked up. Even addresses that the registries call globally reachable are refused here,
//! such as the anycast addresses of protocols: no web server has one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First address, length of the prefix, and what the registry calls the block.
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private use"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared address space"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private use"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private use"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved, or broadcast"),
];

const fn v6(first: u16, second: u16, third: u16) -> Ipv6Addr {
    Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0)
}

/// The first row that fits counts. An address outside 2000::/3 that is in no row has not been given to anybody.
const SPECIAL_V6: [(Ipv6Addr, u32, &str); 17] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible"),
    (v6(0x64, 0xff9b, 1), 48, "local-use NAT64"),
    (v6(0x100, 0, 0), 64, "discard only"),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64, "dummy prefix"),
    (v6(0x2001, 0, 0), 32, "Teredo"),
    (v6(0x2001, 2, 0), 48, "benchmarking"),
    (v6(0x2001, 0, 0), 23, "protocol assignments"),
    (v6(0x2001, 0xdb8, 0), 32, "documentation"),
    (v6(0x2002, 0, 0), 16, "6to4"),
    (v6(0x2620, 0x4f, 0x8000), 48, "AS112"),
    (v6(0x3fff, 0, 0), 20, "documentation"),
    (v6(0x5f00, 0, 0), 16, "segment routing"),
    (v6(0xfc00, 0, 0), 7, "unique local"),
    (v6(0xfe80, 0, 0), 10, "link local"),
    (v6(0xff00, 0, 0), 8, "multicast"),
];
/// The part of IPv6 that is given to the public.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (v6(0x2000, 0, 0), 3);
/// Prefixes of 96 bits that carry an address of IPv4, which is then the one that is looked up.
const BEFORE_V4: [Ipv6Addr; 2] = [Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), v6(0x64, 0xff9b, 0)];

/// What is special about an address; `None`: it is public.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => {
            let carries = BEFORE_V4.iter().any(|prefix| fits_v6(address, *prefix, 96));
            let [.., a, b, c, d] = address.octets();
            if carries { special_v4(Ipv4Addr::new(a, b, c, d)) } else { special_v6(address) }
        }
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let fits = |first: &Ipv4Addr, length: &u32| (address.to_bits() ^ first.to_bits()) >> (32 - length) == 0;
    SPECIAL_V4.iter().find(|(first, length, _)| fits(first, length)).map(|(.., name)| *name)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let found = SPECIAL_V6.iter().find(|(first, length, _)| fits_v6(address, *first, *length));
    let (first, length) = GLOBAL_UNICAST;
    found.map(|(.., name)| *name).or((!fits_v6(address, first, length)).then_some("not given to anybody"))
}

fn fits_v6(address: Ipv6Addr, first: Ipv6Addr, length: u32) -> bool {
    (address.to_bits() ^ first.to_bits()) >> (128 - length) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let table = [
            // Shopify's, Cloudflare's, and one beside each block.
            ("23.227.38.65", None),
            ("9.255.255.255", None),
            ("11.0.0.0", None),
            ("100.63.255.255", None),
            ("100.128.0.0", None),
            ("126.255.255.255", None),
            ("128.0.0.0", None),
            ("169.253.255.255", None),
            ("172.15.255.255", None),
            ("172.32.0.0", None),
            ("192.0.1.0", None),
            ("192.167.255.255", None),
            ("198.17.255.255", None),
            ("198.20.0.0", None),
            ("223.255.255.255", None),
            ("2606:4700::1111", None),
            ("2001:200::1", None),
            ("2001:db7:ffff::1", None),
            ("2001:db9::1", None),
            ("2003::1", None),
            ("3ffe:ffff::1", None),
            ("0.0.0.0", Some("this network")),
            ("0.255.255.255", Some("this network")),
            ("10.1.2.3", Some("private use")),
            ("100.64.0.1", Some("shared address space")),
            ("100.127.255.255", Some("shared address space")),
            ("127.0.0.1", Some("loopback")),
            ("127.255.255.254", Some("loopback")),
            ("169.254.169.254", Some("link local")),
            ("172.16.0.1", Some("private use")),
            ("172.31.255.255", Some("private use")),
            ("192.0.0.9", Some("protocol assignments")),
            ("192.0.0.170", Some("protocol assignments")),
            ("192.0.2.1", Some("documentation")),
            ("192.31.196.1", Some("AS112")),
            ("192.52.193.1", Some("AMT")),
            ("192.88.99.1", Some("6to4 relay")),
            ("192.168.1.1", Some("private use")),
            ("192.175.48.1", Some("AS112")),
            ("198.18.0.1", Some("benchmarking")),
            ("198.19.255.255", Some("benchmarking")),
            ("198.51.100.1", Some("documentation")),
            ("203.0.113.1", Some("documentation")),
            ("224.0.0.1", Some("multicast")),
            ("239.255.255.255", Some("multicast")),
            ("240.0.0.1", Some("reserved, or broadcast")),
            ("255.255.255.255", Some("reserved, or broadcast")),
            ("::", Some("unspecified")),
            ("::1", Some("loopback")),
            ("::7f00:1", Some("IPv4-compatible")),
            ("::ffff:127.0.0.1", Some("loopback")),
            ("::ffff:169.254.169.254", Some("link local")),
            ("::ffff:23.227.38.65", None),
            ("64:ff9b::7f00:1", Some("loopback")),
            ("64:ff9b::a9fe:a9fe", Some("link local")),
            ("64:ff9b::17e3:2641", None),
            ("64:ff9b:1::17e3:2641", Some("local-use NAT64")),
            ("100::1", Some("discard only")),
            ("100:0:0:1::1", Some("dummy prefix")),
            ("2001::1", Some("Teredo")),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some("Teredo")),
            ("2001:1::1", Some("protocol assignments")),
            ("2001:2::1", Some("benchmarking")),
            ("2001:3::1", Some("protocol assignments")),
            ("2001:4:112::1", Some("protocol assignments")),
            ("2001:10::1", Some("protocol assignments")),
            ("2001:20::1", Some("protocol assignments")),
            ("2001:30::1", Some("protocol assignments")),
            ("2001:1ff:ffff::1", Some("protocol assignments")),
            ("2001:db8::1", Some("documentation")),
            ("2002:7f00:1::1", Some("6to4")),
            ("2002:17e3:2641::1", Some("6to4")),
            ("2620:4f:8000::1", Some("AS112")),
            ("3fff::1", Some("documentation")),
            ("3fff:fff:ffff::1", Some("documentation")),
            ("3fff:1000::1", None),
            ("4000::1", Some("not given to anybody")),
            ("5f00::1", Some("segment routing")),
            ("fc00::1", Some("unique local")),
            ("fdff::1", Some("unique local")),
            ("fe80::1", Some("link local")),
            ("febf::1", Some("link local")),
            ("fec0::1", Some("not given to anybody")),
            ("ff02::1", Some("multicast")),
        ];
        for (address, expected) in table {
            assert_eq!(special(address.parse().unwrap()), expected, "{address}");
        }
    }
}
