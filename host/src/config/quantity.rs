//! Sizes ("8MiB") and spans of time ("24h") as the file writes them.
//!
//! Read by `bytesize` and `humantime`; this file only joins them to serde and to the JSON Schema. It never
//! decides whether a size makes sense where it stands.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes: `"8MiB"`, `"64 kB"`, or a plain integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of bytes.
    pub bytes: u64,
}

impl Size {
    pub(super) const fn mib(count: u64) -> Self {
        Self { bytes: count << 20 }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"8MiB\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                let size: ByteSize =
                    text.parse().map_err(|_| E::custom("not a size; write it like \"8MiB\" or \"64KiB\""))?;
                Ok(Size { bytes: size.as_u64() })
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes)
                    .map(|bytes| Size { bytes })
                    .map_err(|_| E::custom("a size is not negative"))
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size { bytes })
            }
        }
        deserializer.deserialize_any(Bytes)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |(shift, _): &(u32, &str)| self.bytes != 0 && self.bytes.trailing_zeros() >= *shift;
        match units.iter().find(|unit| whole(unit)) {
            Some((shift, unit)) => serializer.collect_str(&format_args!("{}{unit}", self.bytes >> shift)),
            None => serializer.serialize_u64(self.bytes),
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "size", "minimum": 0, "examples": ["8MiB"] })
    }
}

/// A span of time: `"24h"`, `"10s"`, `"1h 30m"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// The same as the standard library has it.
    pub duration: Duration,
}

impl Period {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self { duration: Duration::from_secs(seconds) }
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;
        impl Visitor<'_> for Time {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time such as \"10s\" or \"24h\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
                let duration = humantime::parse_duration(text)
                    .map_err(|_| E::custom("not a span of time; write it like \"10s\" or \"24h\""))?;
                Ok(Period { duration })
            }
        }
        deserializer.deserialize_str(Time)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.duration.as_secs() {
            seconds if self.duration.subsec_nanos() != 0 || seconds == 0 => {
                serializer.collect_str(&humantime::format_duration(self.duration))
            }
            seconds if seconds % 3600 == 0 => serializer.collect_str(&format_args!("{}h", seconds / 3600)),
            seconds => serializer.collect_str(&format_args!("{seconds}s")),
        }
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "span of time", "examples": ["10s", "24h"] })
    }
}
