//! Numbers as people read them: three digits and a unit.

/// A count or a rate: `0`, `0.5`, `42`, `1,234`, `56.8k`, `1.2M`.
pub fn count(number: f64) -> String {
    // The sum of nothing is a negative zero.
    match number + 0.0 {
        n if n < 9.95 && n.fract() != 0.0 => format!("{n:.1}"),
        n if n < 9_999.5 => thousands(n),
        n if n < 999_500.0 => format!("{:.*}k", digits(n / 1e3), n / 1e3),
        n if n < 999.5e6 => format!("{:.*}M", digits(n / 1e6), n / 1e6),
        n => format!("{:.*}G", digits(n / 1e9), n / 1e9),
    }
}

/// Bytes: `0 B`, `512 B`, `1.5 kB`, `20 MB`.
pub fn bytes(number: f64) -> String {
    match number {
        n if n < 999.5 => format!("{n:.0} B"),
        n if n < 999.5e3 => format!("{:.*} kB", digits(n / 1e3), n / 1e3),
        n if n < 999.5e6 => format!("{:.*} MB", digits(n / 1e6), n / 1e6),
        n if n < 999.5e9 => format!("{:.*} GB", digits(n / 1e9), n / 1e9),
        n => format!("{:.*} TB", digits(n / 1e12), n / 1e12),
    }
}

/// A time in microseconds: `0`, `80 us`, `1.2 ms`, `340 ms`, `5.6 s`, `2 min`, `3 h`.
pub fn time(us: f64) -> String {
    match us {
        us if us <= 0.0 => "0".to_owned(),
        us if us < 999.5 => format!("{us:.0} us"),
        us if us < 999_500.0 => format!("{:.*} ms", digits(us / 1e3), us / 1e3),
        us if us < 119.5e6 => format!("{:.*} s", digits(us / 1e6), us / 1e6),
        us if us < 7_170e6 => format!("{:.0} min", us / 60e6),
        us if us < 172_000e6 => format!("{:.0} h", us / 3_600e6),
        us => format!("{:.0} d", us / 86_400e6),
    }
}

/// A part of a whole: `0%`, `0.4%`, `37%`.
pub fn part(part: f64) -> String {
    let percent = part * 100.0;
    if percent > 0.0 && percent < 0.95 {
        format!("{percent:.1}%")
    } else {
        format!("{percent:.0}%")
    }
}

/// One digit behind the point below ten.
fn digits(number: f64) -> usize {
    usize::from(number < 9.95)
}

fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    match digits.len() {
        4 => digits.split_at_checked(1).map_or_else(String::new, |(a, b)| format!("{a},{b}")),
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        let counts = [-0.0, 0.5, 9.0, 42.4, 999.9, 1234.0, 9999.0, 56_789.0, 1_234_567.0, 2e9];
        let texts = counts.map(count);
        let expected = ["0", "0.5", "9", "42", "1,000", "1,234", "9,999", "57k", "1.2M", "2.0G"];
        assert_eq!(texts, expected);
        assert_eq!(
            [0.0, 512.0, 1500.0, 2e7, 3e12].map(bytes),
            ["0 B", "512 B", "1.5 kB", "20 MB", "3.0 TB"]
        );
        let times = [0.0, 80.0, 1234.0, 34e3, 5.6e6, 90e6, 130e6, 7200e6, 4.0 * 86_400e6].map(time);
        assert_eq!(
            times,
            ["0", "80 us", "1.2 ms", "34 ms", "5.6 s", "90 s", "2 min", "2 h", "4 d"]
        );
        assert_eq!([0.0, 0.004, 0.37, 1.0].map(part), ["0%", "0.4%", "37%", "100%"]);
    }
}
