//! The startup parameter `options`: settings as command-line switches (manual, "Start-up" and "postgres", `-c`).

use bytes::{BufMut, Bytes, BytesMut};

/// A switch that sets nothing. PostgreSQL knows some more, of no use through a pooler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOptions;

/// Reads `-c name=value`, `-cname=value` and `--name=value`. Space separates, a backslash takes the next byte as it
/// is. In names `-` stands for `_`.
///
/// # Errors
/// Anything else.
pub fn parse(options: &[u8]) -> Result<Vec<(Bytes, Bytes)>, BadOptions> {
    let mut words = Words(options);
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = if word == b"-c"[..] {
            words.next().ok_or(BadOptions)?
        } else if word.starts_with(b"-c") || word.starts_with(b"--") {
            word.slice(2..)
        } else {
            return Err(BadOptions);
        };
        let equals = memchr::memchr(b'=', &setting).filter(|at| *at > 0).ok_or(BadOptions)?;
        let mut name = BytesMut::from(&setting.slice(..equals)[..]);
        name.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'_');
        settings.push((name.freeze(), setting.slice(equals + 1..)));
    }
    Ok(settings)
}

/// Words between white space, without their backslashes.
struct Words<'a>(&'a [u8]);

impl Iterator for Words<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        // C's isspace().
        let is_space = |byte: u8| byte.is_ascii_whitespace() || byte == 0x0b;
        let start = self.0.iter().position(|byte| !is_space(*byte))?;
        let mut word = BytesMut::new();
        let mut rest = self.0.get(start..)?.iter();
        while let Some(byte) = rest.next() {
            match *byte {
                // A backslash at the very end is nothing.
                b'\\' => word.extend(rest.next()),
                byte if is_space(byte) => break,
                byte => word.put_u8(byte),
            }
        }
        self.0 = rest.as_slice();
        Some(word.freeze())
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn read(options: &str) -> Result<Vec<(String, String)>, BadOptions> {
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        let settings = parse(options.as_bytes())?;
        Ok(settings.into_iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    /// What [`parse`] reads.
    fn write<'a>(settings: impl IntoIterator<Item = (&'a [u8], &'a [u8])>, out: &mut BytesMut) {
        for (name, value) in settings {
            out.put_slice(b"-c ");
            for byte in name.iter().chain(b"=").chain(value) {
                if byte.is_ascii_whitespace() || matches!(byte, 0x0b | b'\\') {
                    out.put_u8(b'\\');
                }
                out.put_u8(*byte);
            }
            out.put_u8(b' ');
        }
    }

    #[test]
    fn all_three_spellings_are_read() {
        let expected = ["a", "b.c", "d_e", "f"]
            .map(str::to_owned)
            .into_iter()
            .zip(["1", "2=3", "", "-c x=y"].map(str::to_owned));
        let read = read("-c a=1 \t-cb.c=2=3\n --d-e=  -c f=-c\\ x=y ");
        assert_eq!(read, Ok(expected.collect()));
    }

    #[test]
    fn a_backslash_takes_the_next_byte_as_it_is() {
        let value = |options| read(options).map(|settings| settings[0].1.clone());
        assert_eq!(value(r"-c a=x\ y\\z\q"), Ok(r"x y\zq".to_owned()));
        assert_eq!(value("-c a=x\\"), Ok("x".to_owned()));
    }

    #[test]
    fn nothing_is_nothing_and_what_sets_nothing_is_refused() {
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read(" \n"), Ok(vec![]));
        for bad in ["-c", "-c a", "-c =1", "--", "--a", "--=1", "-d 5", "a=1", "-c a=1 b", "-"] {
            assert_eq!(read(bad), Err(BadOptions), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_again(
            settings in proptest::collection::vec(("[a-z_. \\\\]{1,8}", "[ -~\\t\\x0b]{0,12}"), 0..6),
        ) {
            let mut out = BytesMut::new();
            write(settings.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut out);
            proptest::prop_assert_eq!(read(std::str::from_utf8(&out).unwrap()), Ok(settings));
        }

        #[test]
        fn arbitrary_bytes_never_panic(options: Vec<u8>) {
            let _ = parse(&options);
        }
    }
}
