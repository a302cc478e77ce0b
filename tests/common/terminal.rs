//! A program in a terminal: a pseudoterminal of a certain size, keys that go in, and the screen that comes of it.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use super::home::as_service;
use super::wait;

/// See the module's words. Dropped, the program is ended.
pub struct Terminal {
    child: Child,
    /// Our end.
    keys: File,
    /// The program's end, kept open: what it has left the terminal like can be seen afterwards.
    inside: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts a command, run as the service user, in a terminal of so many columns and lines.
    pub fn start(mut command: impl FnMut(&mut Command), columns: u16, lines: u16) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).unwrap();
        unlockpt(&keys).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let name = name.to_str().unwrap();
        let inside: OwnedFd = File::options().read(true).write(true).open(name).unwrap().into();
        tcsetwinsize(&keys, size(columns, lines)).unwrap();
        let end = || Stdio::from(inside.try_clone().unwrap());
        // Only a controlling terminal tells of Ctrl-C and of another size.
        let mut setsid = as_service("setsid");
        setsid.args(["--ctty", "--wait"]);
        setsid.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        command(&mut setsid);
        let child = setsid.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(some(lines), some(columns), 0)));
        let mut output = File::from(keys.try_clone().unwrap());
        let seen = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The end of a pseudoterminal is an error.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { child, keys: keys.into(), inside, screen }
    }

    /// Presses keys: letters, or the bytes that a terminal sends.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, lines: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(some(lines), some(columns));
        tcsetwinsize(&self.keys, size(columns, lines)).unwrap();
    }

    /// What is on the screen now.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Whether the program has the screen for itself, to be given back as it was.
    pub fn is_alternate(&self) -> bool {
        self.screen.lock().unwrap().screen().alternate_screen()
    }

    /// The text of all cells in a colour of this number.
    pub fn coloured(&self, number: u8) -> String {
        let screen = self.screen.lock().unwrap();
        let (lines, columns) = screen.screen().size();
        let cells =
            (0..lines.get()).flat_map(|line| (0..columns.get()).map(move |column| (line, column)));
        let cells = cells.filter_map(|(line, column)| screen.screen().cell(line, column));
        let coloured = cells.filter(|cell| cell.fgcolor() == vt100::Color::Idx(number));
        coloured.map(vt100::Cell::contents).collect()
    }

    /// Waits until the screen fulfils a condition; a failure shows it.
    #[track_caller]
    pub fn wait(&self, what: &str, condition: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait::until(what, wait::DEADLINE, || {
                last = self.text();
                condition(&last)
            });
        }));
        assert!(result.is_ok(), "waited in vain for {what}; the screen:\n{last}");
        last
    }

    /// Waits until one line of the screen has all these words.
    #[track_caller]
    pub fn wait_line(&self, words: &[&str]) -> String {
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        self.wait(&format!("a line with {words:?}"), |text| text.lines().any(has))
    }

    /// Sends a signal to the program.
    pub fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the program's end.
    #[track_caller]
    pub fn wait_end(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::value("the program's end", wait::DEADLINE, || child.try_wait().unwrap())
    }

    /// Whether the terminal is as a shell wants it: lines, echo, signals, and no other screen.
    pub fn is_restored(&self) -> bool {
        let modes: Termios = tcgetattr(self.inside.as_fd()).unwrap();
        let wanted = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        modes.local_modes.contains(wanted)
            && !self.is_alternate()
            && !self.screen.lock().unwrap().screen().hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn some(cells: u16) -> NonZero<u16> {
    NonZero::new(cells).expect("a screen has a size")
}
