//! What may stand behind `pgweir top`.

use std::path::PathBuf;
use std::time::Duration;

/// Shows a console live: hosts, pools, clients, rates, events, warnings. Press ? for the keys.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Arguments {
    /// Where: an ini file, a URL (postgresql://user@host:port/pgbouncer) or "host=... port=..."
    ///
    /// Without any of it, and without -H and PGHOST: ./pgweir.ini, /etc/pgweir/pgweir.ini or
    /// /etc/pgbouncer/pgbouncer.ini, else port 6432 in /tmp.
    #[arg(value_name = "WHERE")]
    pub place: Option<String>,

    /// The ini file of the pgweir (or pgbouncer) on this machine
    #[arg(short, long, value_name = "FILE", conflicts_with = "place")]
    pub config: Option<PathBuf>,

    /// Host name, address, or directory of the Unix socket (PGHOST)
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Option<String>,

    /// Port (PGPORT; default 6432)
    #[arg(short, long, value_name = "PORT")]
    pub port: Option<u16>,

    /// User: one of admin_users or stats_users (PGUSER)
    #[arg(short = 'U', long, value_name = "NAME")]
    pub username: Option<String>,

    /// Name of the console's database
    #[arg(short, long, value_name = "NAME")]
    pub dbname: Option<String>,

    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
    pub interval: Duration,

    /// Print one look as plain text and end; also when standard output is no terminal. It takes one interval, for the rates
    #[arg(long)]
    pub once: bool,
}

/// Seconds, with or without a fraction.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.1..=3600.0).contains(&seconds) {
        return Err("allowed are 0.1 to 3600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
pub(super) mod testing {
    use super::Arguments;

    /// Reads words as they would stand behind `pgweir top`.
    pub(in super::super) fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        use clap::{Args, FromArgMatches};
        let command = Arguments::augment_args(clap::Command::new("top"));
        let matches = command.try_get_matches_from(["top"].iter().chain(words))?;
        Arguments::from_arg_matches(&matches)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::parse;
    use super::*;

    #[test]
    fn options_are_read() {
        let plain = parse(&[]).unwrap();
        assert_eq!(
            (plain.interval, plain.once, plain.place),
            (Duration::from_secs(2), false, None)
        );
        let all =
            parse(&["-H", "db", "-p", "1", "-U", "ann", "-d", "x", "-i", "0.5", "--once"]).unwrap();
        assert_eq!((all.host.as_deref(), all.port, all.once), (Some("db"), Some(1), true));
        assert_eq!((all.username.as_deref(), all.dbname.as_deref()), (Some("ann"), Some("x")));
        assert_eq!(all.interval, Duration::from_millis(500));
        assert_eq!(parse(&["a.ini"]).unwrap().place.as_deref(), Some("a.ini"));
        assert_eq!(parse(&["-c", "a.ini"]).unwrap().config, Some("a.ini".into()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for words in
            [&["-i", "0"][..], &["-i", "soon"], &["-p", "70000"], &["-c", "a", "b"], &["--all"]]
        {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
