//! The five-minute start, as somebody follows it who reads docs/start.md and does what it says.
//!
//! Its `sh` blocks are run in one shell, word by word, in an empty folder, by a user without rights; only ports are others, and
//! PostgreSQL is the one that is tested with. `sudo` and `cargo` are stood in for: what the first would install tools/setup.sh
//! has installed, what the second would build is the pgweir under test. A `text` block is what the `sh` block before it prints.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::home::{Home, Process, as_service, free_port};
use crate::common::weir::binary;
use crate::common::{pg_bin, wait};
use crate::pages::{self, Block, root};

/// The ports in the page: primary, replica, pgweir, its HTTP, Prometheus.
const PORTS: [&str; 5] = ["5441", "5442", "6432", "9127", "9191"];

/// What a block's output begins with in the shell's.
fn mark(number: usize) -> String {
    format!("==== block {number}")
}

/// A program that takes the place of a real one.
fn stand_in(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\nset -eu\n{script}")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// All blocks as one script, which leaves nothing running however it ends.
fn script(blocks: &[Block], ports: &[u16; 5]) -> String {
    let mut script = String::from(
        "set -eu\n\
         tidy() {\n\
             trap - EXIT\n\
             cd \"$CLONE/target/start\" 2>/dev/null || exit\n\
             kill ${pgweir:-} ${prometheus:-} ${writer:-} || true\n\
             for server in one two; do pg_ctl -D $server -m immediate stop || true; done\n\
         }\n\
         trap tidy EXIT\n\
         trap 'exit 1' QUIT TERM INT\n",
    );
    for (number, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh") {
        writeln!(script, "echo '{}'\n{}", mark(number), block.text).unwrap();
        if block.text.contains("pgweir init") {
            // The ports that init gives are as fixed as those in the page.
            writeln!(script, "sed -i 's/6432/{}/; s/9127/{}/' pgweir.ini", ports[2], ports[3])
                .unwrap();
        }
    }
    script
}

/// A line without what differs from run to run: numbers, and how wide columns are.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    for c in line.trim().chars() {
        let c = match c {
            '0'..='9' => '#',
            c if c.is_whitespace() => ' ',
            c => c,
        };
        if !("# -".contains(c) && plain.ends_with(c)) {
            plain.push(c);
        }
    }
    plain
}

/// Whether a line is as the page has it, where `…` stands for anything.
fn is_as(line: &str, expected: &str) -> bool {
    let line = plain(line);
    let mut rest = line.as_str();
    let pieces: Vec<&str> = expected.split('…').map(str::trim).collect();
    for (number, piece) in pieces.iter().map(|piece| plain(piece)).enumerate() {
        let Some(at) = rest.find(&piece) else { return false };
        if number == 0 && at > 0 {
            return false;
        }
        rest = &rest[at + piece.len()..];
    }
    rest.is_empty() || pieces.last().is_some_and(|piece| piece.is_empty())
}

/// Each line that the page shows is among those printed, in its order.
fn compare(printed: &str, expected: &str) {
    let mut lines = printed.lines();
    for expected in expected.lines() {
        assert!(
            lines.any(|line| is_as(line, expected)),
            "the page has\n  {expected}\nwhich is not in, or not in this order:\n{printed}"
        );
    }
}

/// What this block has printed.
fn output(all: &str, number: usize) -> &str {
    let (_, rest) =
        all.split_once(&mark(number)).unwrap_or_else(|| panic!("no output of {number}"));
    let rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    rest.split("==== block ").next().unwrap()
}

/// Every package that the page has installed is one that tools/setup.sh knows.
fn look_at_packages(blocks: &[Block]) {
    let line = blocks.iter().flat_map(|block| block.text.lines());
    let line = line.into_iter().find(|line| line.contains("apt-get install")).unwrap();
    let setup = fs::read_to_string(root().join("tools/setup.sh")).unwrap();
    let known: Vec<&str> = setup.split(|c: char| c.is_whitespace() || "()".contains(c)).collect();
    for package in line.split_whitespace().skip_while(|word| *word != "install").skip(1) {
        let is_known = package.starts_with('-') || known.contains(&package);
        assert!(is_known, "{package} is not in tools/setup.sh");
    }
}

#[test]
fn the_five_minute_start_does_what_it_says_word_by_word() {
    let mut page = pages::page(&root().join("docs/start.md"));
    let mut ports: [u16; 5] = std::array::from_fn(|_| free_port());
    // What is sorted by address stands in the order of the page.
    ports.sort_unstable();
    for (there, here) in PORTS.iter().zip(ports) {
        page.text = page.text.replace(there, &here.to_string());
    }
    let postgres = pg_bin("");
    page.text = page.text.replace("/usr/lib/postgresql/*/bin", postgres.to_str().unwrap());
    let blocks = page.blocks();
    look_at_packages(&blocks);

    let home = Home::new();
    let (clone, bin) = (home.folder("clone"), home.folder("bin"));
    let program = binary(&home);
    stand_in(&bin, "sudo", "test \"$1 $2\" = 'apt-get install'\n");
    let build = format!(
        "test \"$*\" = 'build --release'\nmkdir -p target/release\nln -s {} target/release/pgweir\n",
        program.display()
    );
    stand_in(&bin, "cargo", &build);
    let grafana = home.folder("clone/grafana");
    fs::copy(root().join("grafana/alerts.yml"), grafana.join("alerts.yml")).unwrap();

    let file = home.file("start.sh", &script(&blocks, &ports));
    let printed = home.file("printed", "");
    let printed_to = || fs::File::options().append(true).open(&printed).unwrap();
    let mut command = as_service("/bin/sh");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.arg(&file).current_dir(&clone);
    command.env("PATH", path).env("HOME", home.path()).env("CLONE", &clone);
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG"))
    {
        command.env_remove(name);
    }
    command.stdout(printed_to()).stderr(printed_to());
    let mut shell = Process::start(&mut command, &home);
    let all = || fs::read_to_string(&printed).unwrap();
    // Two servers, a scrape, 300 logins: a busy machine takes its time.
    let status = wait::ok("the end of the start", wait::DEADLINE * 5, || {
        shell.ended().ok_or_else(|| all().lines().map(str::to_owned).collect::<Vec<_>>())
    });
    let all = all();
    assert!(status.success(), "{status}\n{all}\n{}", logs(&clone));

    for (number, pair) in blocks.windows(2).enumerate() {
        if let [block, expected] = pair
            && block.language == "sh"
            && expected.language == "text"
        {
            compare(output(&all, number), &expected.text);
        }
    }
    let killed = blocks.iter().position(|block| block.text.contains("cat writer.log")).unwrap();
    writes_were_kept(output(&all, killed), ports[1]);
    assert!(!clone.join("target/start").exists(), "it was to be taken away");
}

/// One statement was under way at most, and its outcome may be unknown; the one before it may not have left the primary.
fn writes_were_kept(printed: &str, replica: u16) {
    let errors = printed.lines().filter(|line| line.contains("ERROR") || line.contains("FATAL"));
    assert!(errors.count() <= 1, "{printed}");
    let port = replica.to_string();
    let row =
        printed.lines().find(|line| line.split('|').nth(1).is_some_and(|it| it.trim() == port));
    let rows: u32 = row.and_then(|row| row.split('|').next()?.trim().parse().ok()).unwrap();
    assert!((299..=301).contains(&rows), "{printed}");
}

fn logs(clone: &Path) -> String {
    let log = |name: &str| {
        let path = clone.join("target/start").join(name);
        fs::read_to_string(path).unwrap_or_default()
    };
    ["pgweir.log", "prometheus.log", "one.log", "two.log"].map(log).join("\n----\n")
}

#[test]
fn output_is_compared_but_for_numbers_and_what_is_left_out() {
    for (line, expected) in [
        (" shop  | 127.0.0.1 |  5441 | up", "shop | 127.0.0.1 | 23411 | up"),
        ("wrote /tmp/x/userlist.txt (mode 0600)", "wrote …/userlist.txt (mode 0600)"),
        ("  5441", "5441"),
        ("-----+--", "---+-------"),
    ] {
        assert!(is_as(line, expected), "{line}");
    }
    for (line, expected) in [
        ("shop | down", "shop | up"),
        ("shop | up | more", "shop | up"),
        ("a shop | up", "shop | …"),
        ("wrote userlist.txt and more", "wrote …/userlist.txt"),
    ] {
        assert!(!is_as(line, expected), "{line}");
    }
}
