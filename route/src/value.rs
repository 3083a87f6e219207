//! The smaller field types: one grammar each.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::host::is_label;
use crate::{GrammarError, text_type};

/// One DNS label (RFC 1123): the name of a namespace, a Service, a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Box<str>);

impl Label {
    /// Reads a label.
    ///
    /// # Errors
    /// If the text is not 1 to 63 characters of a-z, 0-9 and inner hyphens.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        if is_label(text) {
            Ok(Label(text.into()))
        } else {
            Err(GrammarError::new(text, "is not a DNS label: 1 to 63 of a-z, 0-9 and inner hyphens"))
        }
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.to_string()
    }

    /// The text form, borrowed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(Label);

/// A network in canonical form: host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr(ipnet::IpNet);

impl Cidr {
    /// Reads `address/prefix`; a bare address means itself alone. Host bits must be zero.
    ///
    /// # Errors
    /// If it is no network, or names host bits (the message gives the canonical form).
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let net = match text.parse::<ipnet::IpNet>() {
            Ok(net) => net,
            Err(_) => match text.parse::<IpAddr>() {
                Ok(address) => ipnet::IpNet::from(address),
                Err(_) => {
                    return Err(GrammarError::new(text, "is not a network such as 203.0.113.0/24 or 2001:db8::/32"));
                }
            },
        };
        if net.trunc() != net {
            return Err(GrammarError::new(text, format!("has host bits set; write {}", net.trunc())));
        }
        Ok(Cidr(net))
    }

    /// The text form.
    #[must_use]
    pub fn as_text(&self) -> String {
        self.0.to_string()
    }

    /// Whether the network is the whole address family.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.prefix_len() == 0
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> ipnet::IpNet {
        self.0
    }
}

text_type!(Cidr);

/// A number of bytes, written as nginx and Kubernetes users do: `512Ki`, `50Mi`, `1Gi`, or plain bytes. At most 64 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// The pattern the API server checks.
pub const SIZE_PATTERN: &str = r"^[1-9][0-9]{0,9}(Ki|Mi|Gi)?$";

impl Size {
    /// Reads a size.
    ///
    /// # Errors
    /// If it is no positive whole number with an optional Ki, Mi or Gi, or above 64 GiB.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let refuse = || GrammarError::new(text, "is not a size such as 512Ki, 50Mi or 1Gi (at most 64Gi)");
        let (digits, unit) = match text.len().checked_sub(2).and_then(|at| text.split_at_checked(at)) {
            Some((digits, "Ki")) => (digits, 1 << 10),
            Some((digits, "Mi")) => (digits, 1 << 20),
            Some((digits, "Gi")) => (digits, 1 << 30),
            _ => (text, 1),
        };
        let bytes = positive(digits).and_then(|n| n.checked_mul(unit)).ok_or_else(refuse)?;
        if bytes > 64 << 30 { Err(refuse()) } else { Ok(Size(bytes)) }
    }

    /// The text form: the largest unit that divides it.
    #[must_use]
    pub fn as_text(&self) -> String {
        match self.0 {
            n if n % (1 << 30) == 0 => format!("{}Gi", n >> 30),
            n if n % (1 << 20) == 0 => format!("{}Mi", n >> 20),
            n if n % (1 << 10) == 0 => format!("{}Ki", n >> 10),
            n => n.to_string(),
        }
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

text_type!(Size);

/// A whole number of seconds, written `30s`, `5m` or `1h`. 1 s to 24 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(u32);

/// The pattern the API server checks.
pub const SECONDS_PATTERN: &str = r"^[1-9][0-9]{0,4}(s|m|h)$";

impl Seconds {
    /// Reads a duration.
    ///
    /// # Errors
    /// If it is no positive whole number with s, m or h, or above 24 hours.
    pub fn parse(text: &str) -> Result<Self, GrammarError> {
        let refuse = || GrammarError::new(text, "is not a duration such as 30s, 5m or 1h (at most 24h)");
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            _ => return Err(refuse()),
        };
        let seconds = positive(&text[..text.len() - 1]).and_then(|n| n.checked_mul(unit)).ok_or_else(refuse)?;
        match u32::try_from(seconds) {
            Ok(seconds) if seconds <= 86_400 => Ok(Seconds(seconds)),
            _ => Err(refuse()),
        }
    }

    /// The text form, in seconds.
    #[must_use]
    pub fn as_text(&self) -> String {
        format!("{}s", self.0)
    }

    /// Seconds.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

text_type!(Seconds);

/// A positive decimal without sign, space or leading zero.
fn positive(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty()
        && digits.len() <= 12
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

/// A TCP port, 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Port(u16);

impl Port {
    /// The port as a number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for Port {
    type Error = GrammarError;
    fn try_from(number: i64) -> Result<Self, GrammarError> {
        match u16::try_from(number) {
            Ok(port) if port != 0 => Ok(Port(port)),
            _ => Err(GrammarError::new(&number.to_string(), "is not a port: 1 to 65535")),
        }
    }
}

impl From<Port> for i64 {
    fn from(port: Port) -> i64 {
        i64::from(port.0)
    }
}

/// The share of a backend among those of its route, 0 to 1000000 as in HTTPRoute; 0 takes no traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Weight(u32);

impl Weight {
    /// The weight of a backend that names none.
    pub const ONE: Weight = Weight(1);

    /// The weight as a number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Weight {
    type Error = GrammarError;
    fn try_from(number: i64) -> Result<Self, GrammarError> {
        match u32::try_from(number) {
            Ok(weight) if weight <= 1_000_000 => Ok(Weight(weight)),
            _ => Err(GrammarError::new(&number.to_string(), "is not a weight: 0 to 1000000")),
        }
    }
}

impl From<Weight> for i64 {
    fn from(weight: Weight) -> i64 {
        i64::from(weight.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, Label, Port, Seconds, Size};

    #[test]
    fn sizes_and_durations() {
        assert_eq!(Size::parse("50Mi").unwrap().bytes(), 50 << 20);
        assert_eq!(Size::parse("1024").unwrap().as_text(), "1Ki");
        assert_eq!(Seconds::parse("5m").unwrap().get(), 300);
        for bad in ["", "0", "01Mi", "-1", "1.5Mi", "1M", "Mi", "65Gi", "99999999999999999999", "1Mi\n", "ü", "+1Ki"] {
            assert!(Size::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "s", "0s", "30", "30 s", "1d", "25h", "-1s", "1s\n", "ü"] {
            assert!(Seconds::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn networks_are_canonical() {
        assert_eq!(Cidr::parse("10.0.0.1").unwrap().as_text(), "10.0.0.1/32");
        assert!(Cidr::parse("10.0.0.1/24").unwrap_err().to_string().contains("write 10.0.0.0/24"));
        assert!(Cidr::parse("0.0.0.0/0").unwrap().is_open());
        for bad in ["", "10.0.0.0/33", "all", "10.0.0.0/8;", "10.0.0.0/8\n"] {
            assert!(Cidr::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn labels_and_ports() {
        assert!(Label::parse("team-a").is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", "a\n", "a/b"] {
            assert!(Label::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Port::try_from(0).is_err());
        assert!(Port::try_from(65_536).is_err());
        assert_eq!(Port::try_from(8080).unwrap().get(), 8080);
    }
}
