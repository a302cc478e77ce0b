use super::*;

#[test]
fn integers_are_written_as_in_c() {
    let read = [("0", 0), ("12", 12), ("0777", 0o777), ("0x10", 16), ("-1", -1), ("+3", 3)];
    for (text, value) in read {
        assert_eq!(integer(text), Some(value), "{text}");
    }
    for text in ["", "-", "yes", "1 ", "1.5", "08", "0x", "--1", "0x-1", "99999999999999999999"] {
        assert_eq!(integer(text), None, "{text}");
    }
}

#[test]
fn times_are_seconds_with_decimals() {
    assert_eq!(seconds("0.5"), Some(Duration::from_millis(500)));
    assert_eq!(seconds("120"), Some(Duration::from_secs(120)));
    for text in ["", ".", "-1", "inf", "nan", "1e3", "99999999999", "1.2.3"] {
        assert_eq!(seconds(text), None, "{text}");
    }
    assert_eq!(show_seconds(Duration::from_millis(1500)), "1.5");
    assert_eq!(show_seconds(Duration::from_secs(120)), "120");
}

#[test]
fn any_non_zero_integer_is_on_and_so_are_postgresqls_words() {
    for (text, value) in
        [("0", false), ("2", true), ("yes", true), ("ON", true), ("true", true), ("off", false)]
    {
        assert_eq!(bool::read(text), Ok(value), "{text}");
    }
    for text in ["", "y", "enabled"] {
        assert!(bool::read(text).is_err(), "{text}");
    }
}

#[test]
fn times_and_sizes_may_have_units() {
    let millis = |text| seconds(text).map(|time| time.as_millis());
    for (text, value) in [
        ("15s", 15_000),
        ("250ms", 250),
        ("1.5min", 90_000),
        ("2 h", 7_200_000),
        ("1d", 86_400_000),
    ] {
        assert_eq!(millis(text), Some(value), "{text}");
    }
    for text in ["5m", "s", "1 s s", "-1s", "5S"] {
        assert_eq!(seconds(text), None, "{text}");
    }
    let sizes = [("0x1000", 4096), ("64kB", 65_536), ("1 MB", 1 << 20), ("7B", 7)];
    for (text, value) in sizes {
        assert_eq!(bytes(text), Some(value), "{text}");
    }
    for text in ["64k", "kB", "-1kB", "64KB"] {
        assert_eq!(bytes(text), None, "{text}");
    }
    assert!(size("4GB").is_err() && size("2GB").is_ok());
    let time = |text| super::millis(text).map(|time| time.map(|time| time.as_millis()));
    assert_eq!((time("500"), time("5s"), time("0")), (Ok(Some(500)), Ok(Some(5000)), Ok(None)));
    assert!(time("0.5").is_err());
}

#[test]
fn a_star_listens_on_all_ipv4_addresses() {
    let list = Vec::<HttpAddr>::read("*:9127, [::1]:80, unix:/run/x, unix:@y").expect("is a list");
    assert_eq!(list.show().as_deref(), Some("0.0.0.0:9127,[::1]:80,unix:/run/x,unix:@y"));
    for other in ["localhost:1", "unix:x", "unix:", "unix:@", "/run/x"] {
        assert!(Vec::<HttpAddr>::read(other).is_err(), "{other}");
    }
    assert!(Vec::<HttpAddr>::read("*:70000").is_err());
}

#[test]
fn zero_is_no_limit_and_is_shown_as_zero() {
    assert_eq!(limit("0"), Ok(FOREVER));
    assert_eq!(show_limit(&FOREVER).as_deref(), Some("0"));
    assert_eq!(Option::<u32>::read("0"), Ok(None));
    assert_eq!(Option::<Duration>::read("0.0"), Ok(None));
    assert_eq!(millis("1500"), Ok(Some(Duration::from_millis(1500))));
    assert_eq!(show_millis(&Some(Duration::from_millis(1500))).as_deref(), Some("1500"));
    assert_eq!((millis("0"), show_millis(&None).as_deref()), (Ok(None), Some("0")));
}
