//! "Did you mean": the known name that a mistyped one resembles.

/// The name with the fewest letters added, dropped or changed, if those are few for its length.
pub(super) fn nearest(
    typed: &str,
    known: impl IntoIterator<Item = &'static str>,
) -> Option<&'static str> {
    // A name far longer than any known resembles none; this also bounds the work.
    const LONGEST: usize = 64;
    if typed.len() > LONGEST {
        return None;
    }
    let typed = typed.to_ascii_lowercase();
    let allowed = (typed.len() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(&typed, name), name))
        .filter(|(steps, name)| *steps <= allowed || *steps == 2 && same_letters(&typed, name))
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, name)| name)
}

/// Two letters that changed places count as two steps, which is too much for a short name though a common slip.
fn same_letters(a: &str, b: &str) -> bool {
    let sorted = |word: &str| {
        let mut letters: Vec<u8> = word.bytes().collect();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b)
}

/// Levenshtein's distance over bytes, row by row.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, &above) in b.bytes().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_name_that_was_meant() {
        let known = ["pool_mode", "pool_size", "listen_port"];
        assert_eq!(nearest("pol_mode", known), Some("pool_mode"));
        assert_eq!(nearest("listenport", known), Some("listen_port"));
        assert_eq!(nearest("hots", ["port", "host"]), Some("host"));
        assert_eq!(nearest("POOL_SIZE", known), Some("pool_size"));
    }

    #[test]
    fn a_name_that_resembles_nothing_gets_no_suggestion() {
        assert_eq!(nearest("wibble", ["pool_mode", "listen_port"]), None);
        assert_eq!(nearest(&"x".repeat(1000), ["pool_mode"]), None);
    }

    #[test]
    fn the_distance_counts_letters_added_dropped_and_changed() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
