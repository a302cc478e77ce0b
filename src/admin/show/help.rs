//! SHOW HELP: no table but a notice, whose detail lists the commands.

use super::NAMES;

/// The notice's message.
pub const MESSAGE: &str = "Console usage";

/// The commands besides SHOW.
const COMMANDS: &[&str] = &[
    "SET key = arg",
    "RELOAD",
    "RESET QUERIES",
    "PAUSE [<db>]",
    "RESUME [<db>]",
    "DISABLE <db>",
    "ENABLE <db>",
    "RECONNECT [<db>]",
    "KILL [<db>]",
    "KILL_CLIENT <client_id>",
    "SUSPEND",
    "SHUTDOWN",
    "SHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS",
    "WAIT_CLOSE [<db>]",
    "SWITCHOVER PREPARE [<db>]",
    "SWITCHOVER DONE [<db>]",
    "EXPLAIN ROUTE <sql>",
];

/// How many names of SHOW stand on a line.
const PER_LINE: usize = 8;

/// The notice's detail.
pub fn detail() -> String {
    let shows = NAMES.chunks(PER_LINE).map(|chunk| {
        let names: Vec<_> = chunk.iter().map(|(name, _)| *name).collect();
        format!("SHOW {}", names.join("|"))
    });
    let commands = COMMANDS.iter().map(|command| (*command).to_owned());
    shows.chain(commands).map(|line| format!("\n\t{line}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::parse::parse;
    use super::*;

    #[test]
    fn every_command_in_the_help_can_be_given() {
        for line in detail().lines().skip(1) {
            let line = line.trim_start_matches('\t');
            let (before, choices) = line.rsplit_once(' ').unwrap_or(("", line));
            for choice in choices.split('|') {
                let command = format!("{before} {choice}");
                let command = command
                    .replace("[<db>]", "")
                    .replace("<db>", "app")
                    .replace("<client_id>", "1")
                    .replace("<sql>", "select 1")
                    .replace("key", "stats_period");
                assert!(parse(&command).is_ok(), "{command}");
            }
        }
    }

    #[test]
    fn every_show_for_people_is_in_the_help() {
        for (name, _) in NAMES {
            assert!(detail().split(['|', ' ', '\n']).any(|word| word == name), "{name}");
        }
    }
}
