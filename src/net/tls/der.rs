//! As much DER as is needed to find a few fields of a certificate (RFC 5280, section 4.1). Every length is checked
//! against what is there; nothing is indexed.

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;

/// What a certificate's signature was made over, after RFC 5929's rule for the weak ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// SubjectPublicKeyInfo.
pub(super) struct PublicKey<'a> {
    pub(super) whole: &'a [u8],
    /// Content of the AlgorithmIdentifier, as webpki compares it.
    pub(super) algorithm: &'a [u8],
    pub(super) bits: &'a [u8],
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    /// With tag and length.
    whole: &'a [u8],
}

/// Takes one element off the front.
fn take<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // 0x80 is the indefinite length, which DER has not; more than three bytes no certificate needs.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let (whole, _) = input.split_at_checked(input.len() - rest.len())?;
    *input = rest;
    Some(Element { tag, content, whole })
}

/// Takes one element that must have `tag`.
fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<Element<'a>> {
    take(input).filter(|element| element.tag == tag)
}

/// The TBSCertificate's content, and what follows it in the Certificate.
fn split(mut certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut outer = expect(&mut certificate, SEQUENCE)?.content;
    let tbs = expect(&mut outer, SEQUENCE)?.content;
    Some((tbs, outer))
}

/// The fields from `validity` on.
fn from_validity(certificate: &[u8]) -> Option<&[u8]> {
    let (mut fields, _) = split(certificate)?;
    if fields.first() == Some(&CONTEXT_0) {
        take(&mut fields)?; // version; absent in version 1
    }
    expect(&mut fields, INTEGER)?; // serialNumber
    expect(&mut fields, SEQUENCE)?; // signature
    expect(&mut fields, SEQUENCE)?; // issuer
    Some(fields)
}

pub(super) fn public_key(certificate: &[u8]) -> Option<PublicKey<'_>> {
    let mut fields = from_validity(certificate)?;
    expect(&mut fields, SEQUENCE)?; // validity
    expect(&mut fields, SEQUENCE)?; // subject
    let key = expect(&mut fields, SEQUENCE)?;
    let mut inner = key.content;
    let algorithm = expect(&mut inner, SEQUENCE)?.content;
    // The first byte counts the unused bits at the end: none, in a key.
    let bits = expect(&mut inner, BIT_STRING)?.content.strip_prefix(&[0])?;
    Some(PublicKey { whole: key.whole, algorithm, bits })
}

/// What a certificate's issuer has signed, and how.
pub(super) struct Signed<'a> {
    /// TBSCertificate, with tag and length.
    pub(super) message: &'a [u8],
    /// Content of the AlgorithmIdentifier, as webpki compares it.
    pub(super) algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

/// `None` also if the certificate names one algorithm inside and another one outside of what is signed.
pub(super) fn signed(mut certificate: &[u8]) -> Option<Signed<'_>> {
    let mut outer = expect(&mut certificate, SEQUENCE)?.content;
    let tbs = expect(&mut outer, SEQUENCE)?;
    let algorithm = expect(&mut outer, SEQUENCE)?.content;
    let signature = expect(&mut outer, BIT_STRING)?.content.strip_prefix(&[0])?;
    let mut fields = tbs.content;
    if fields.first() == Some(&CONTEXT_0) {
        take(&mut fields)?;
    }
    expect(&mut fields, INTEGER)?;
    let inside = expect(&mut fields, SEQUENCE)?.content;
    (inside == algorithm).then_some(Signed { message: tbs.whole, algorithm, signature })
}

/// Whether it is of X.509's first version, which has no extensions.
pub(super) fn is_version_1(certificate: &[u8]) -> bool {
    split(certificate).is_some_and(|(fields, _)| fields.first() == Some(&INTEGER))
}

/// Name of who signed it, as it is encoded.
pub(super) fn issuer(certificate: &[u8]) -> Option<&[u8]> {
    let (mut fields, _) = split(certificate)?;
    if fields.first() == Some(&CONTEXT_0) {
        take(&mut fields)?;
    }
    expect(&mut fields, INTEGER)?;
    expect(&mut fields, SEQUENCE)?;
    Some(expect(&mut fields, SEQUENCE)?.whole)
}

/// Name of whom it is for, as it is encoded.
pub(super) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = from_validity(certificate)?;
    expect(&mut fields, SEQUENCE)?; // validity
    Some(expect(&mut fields, SEQUENCE)?.whole)
}

/// From when until when, both inclusive, in seconds since 1970.
pub(super) fn validity(certificate: &[u8]) -> Option<(u64, u64)> {
    let mut fields = from_validity(certificate)?;
    let mut inner = expect(&mut fields, SEQUENCE)?.content;
    let from = time(&take(&mut inner)?)?;
    let until = time(&take(&mut inner)?)?;
    Some((from, until))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280, section 4.1.2.5).
fn time(element: &Element<'_>) -> Option<u64> {
    let digits = element.content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year_digits, length) = match element.tag {
        UTC_TIME => (2, 12),
        GENERALIZED_TIME => (4, 14),
        _ => return None,
    };
    let number = |digits: &[u8]| {
        digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'))
    };
    let (year, rest) = digits.split_at_checked(year_digits).filter(|_| digits.len() == length)?;
    let year = match (year_digits, number(year)) {
        (2, year @ 0..50) => 2000 + year,
        (2, year) => 1900 + year,
        (_, year) => year,
    };
    let [month, day, hour, minute, second] =
        <[u64; 5]>::try_from(rest.chunks(2).map(number).collect::<Vec<_>>()).ok()?;
    if !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    // Days since 1970 in the Gregorian calendar, counted with years that begin in March.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // Before 1970 is long ago: 0 will do.
    Some((days.saturating_sub(719_468)) * 86_400 + hour * 3600 + minute * 60 + second)
}

pub(super) fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let (_, mut rest) = split(certificate)?;
    let mut algorithm = expect(&mut rest, SEQUENCE)?.content;
    let oid = expect(&mut algorithm, OID)?.content;
    match oid {
        // 1.2.840.113549.1.1.*: RSA, PKCS #1
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last] => match last {
            4 | 5 | 11 => Some(Hash::Sha256), // MD5, SHA-1, SHA-256
            12 => Some(Hash::Sha384),
            13 => Some(Hash::Sha512),
            14 => Some(Hash::Sha224),
            10 => pss_hash(algorithm),
            _ => None,
        },
        // 1.2.840.10045.4.*: ECDSA
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(Hash::Sha256), // SHA-1
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, last] => match last {
            1 => Some(Hash::Sha224),
            2 => Some(Hash::Sha256),
            3 => Some(Hash::Sha384),
            4 => Some(Hash::Sha512),
            _ => None,
        },
        _ => None,
    }
}

/// RSASSA-PSS names its hash in the parameters; absent means SHA-1 (RFC 4055, section 3.1).
fn pss_hash(mut parameters: &[u8]) -> Option<Hash> {
    let mut fields = expect(&mut parameters, SEQUENCE)?.content;
    if fields.first() != Some(&CONTEXT_0) {
        return Some(Hash::Sha256);
    }
    let mut tagged = expect(&mut fields, CONTEXT_0)?.content;
    let mut algorithm = expect(&mut tagged, SEQUENCE)?.content;
    match expect(&mut algorithm, OID)?.content {
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some(Hash::Sha256), // SHA-1
        // 2.16.840.1.101.3.4.2.*
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last] => match last {
            1 => Some(Hash::Sha256),
            2 => Some(Hash::Sha384),
            3 => Some(Hash::Sha512),
            4 => Some(Hash::Sha224),
            _ => None,
        },
        _ => None,
    }
}
