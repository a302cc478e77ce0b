//! The types of settings: text to value and back.

mod choices;
mod numbers;
mod special;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) use choices::*;
pub(super) use numbers::{TIME, bytes, integer, seconds, show_seconds, words};
pub(super) use special::*;

use super::ldap::LdapOptions;
use super::model::{HttpAddr, SecretText};

/// Stands for "no limit" in settings whose type has no room for it; far enough, and safe to add to any instant.
pub(super) const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What would have been allowed.
pub(super) type Allowed = String;

/// A type that settings have.
pub(super) trait Value: Sized {
    /// From a file's or SET's text.
    fn read(text: &str) -> Result<Self, Allowed>;
    /// As the file would have it; `None` for "not given".
    fn show(&self) -> Option<String>;
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, Allowed> {
        if let Some(value) = integer(text) {
            return Ok(value != 0);
        }
        match &*text.to_ascii_lowercase() {
            "on" | "yes" | "true" => Ok(true),
            "off" | "no" | "false" => Ok(false),
            _ => Err("0 or 1; off or on, no or yes, false or true do as well".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(u8::from(*self).to_string())
    }
}

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn read(text: &str) -> Result<Self, Allowed> {
                let value = integer(text).and_then(|value| value.try_into().ok());
                value.ok_or_else(|| format!("a whole number from 0 to {}", Self::MAX))
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

unsigned!(u8, u16, u32);

/// 0 is `None`.
impl Value for Option<u32> {
    fn read(text: &str) -> Result<Self, Allowed> {
        u32::read(text).map(|value| (value != 0).then_some(value))
    }

    fn show(&self) -> Option<String> {
        self.unwrap_or(0).show()
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, Allowed> {
        seconds(text).ok_or_else(|| TIME.to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(show_seconds(*self))
    }
}

/// 0 is `None`.
impl Value for Option<Duration> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Duration::read(text).map(|value| (!value.is_zero()).then_some(value))
    }

    fn show(&self) -> Option<String> {
        self.unwrap_or(Duration::ZERO).show()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// Blank is `None`.
impl Value for Option<String> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        self.clone()
    }
}

/// Blank is `None`.
impl Value for Option<PathBuf> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok((!text.is_empty()).then(|| PathBuf::from(text)))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|path| path.display().to_string())
    }
}

/// Blank is `None`. Shown without the password in it.
impl Value for Option<Arc<LdapOptions>> {
    fn read(text: &str) -> Result<Self, Allowed> {
        if text.is_empty() {
            return Ok(None);
        }
        let options = LdapOptions::parse(text);
        let wrong = |fault| format!("PostgreSQL's options for ldap, but {fault}");
        options.map(|options| Some(Arc::new(options))).map_err(wrong)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|options| options.show())
    }
}

impl Value for Vec<String> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok(words(text).map(str::to_owned).collect())
    }

    fn show(&self) -> Option<String> {
        Some(self.join(","))
    }
}

/// Blank is `None`. What it is is not shown, only that there is one.
impl Value for Option<SecretText> {
    fn read(text: &str) -> Result<Self, Allowed> {
        Ok((!text.is_empty()).then(|| SecretText::new(text.to_owned())))
    }

    fn show(&self) -> Option<String> {
        self.as_ref().map(|_| "(not shown)".to_owned())
    }
}

impl Value for Vec<HttpAddr> {
    fn read(text: &str) -> Result<Self, Allowed> {
        let address = |word: &str| {
            if let Some(path) = word.strip_prefix("unix:") {
                let named = path.len() > 1 && path.starts_with(['/', '@']);
                return named.then(|| HttpAddr::Unix(PathBuf::from(path)));
            }
            let tcp = match word.strip_prefix("*:") {
                Some(port) => format!("0.0.0.0:{port}").parse(),
                None => word.parse(),
            };
            tcp.ok().map(HttpAddr::Tcp)
        };
        words(text).map(address).collect::<Option<_>>().ok_or_else(|| {
            "a comma-separated list of address:port or unix:/path, such as 127.0.0.1:9127, [::1]:9127, *:9127 or \
             unix:/run/pgweir/http"
                .to_owned()
        })
    }

    fn show(&self) -> Option<String> {
        let words: Vec<String> = self.iter().map(HttpAddr::to_string).collect();
        Some(words.join(","))
    }
}

#[cfg(test)]
mod tests;
