//! The terminal: keys and signals in, pictures out, and back as it was, however we end.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, timeout};

use super::console::{self, Console, News, Wants};
use super::draw::{Theme, draw};
use super::model::Model;
use super::model::look::Show;
use super::model::view::{Key, View};
use crate::net::clock;
use crate::server::login::Target;

/// How often the picture is drawn although nothing is new: for how long a connection has been away.
const TICK: Duration = Duration::from_secs(1);
/// How long the console may take to answer what it is asked while we end.
const LEAVE: Duration = Duration::from_millis(500);
/// How soon the thread that reads keys sees that nobody listens.
const POLL: Duration = Duration::from_millis(100);

/// Runs until `q`, Ctrl-C or a signal.
///
/// # Errors
/// The terminal's, or why the first login failed: later ones are tried again and again.
pub(super) async fn run(target: Target, pace: Duration) -> io::Result<()> {
    let mut ends = Vec::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        ends.push(signal(kind)?);
    }
    let first = Console::open(&target).await;
    let first = first.map_err(|error| io::Error::other(console::sentence(&error, &target.user)))?;
    let model = Model::new(target.host.to_string());
    let view = View::new(pace);
    let (wants, wanted) = watch::channel(wants(&view));
    let (news_in, news) = mpsc::channel(1);
    let mut watching = tokio::spawn(console::watch(first, target, wanted, news_in));
    // Also restores the terminal when we panic.
    let terminal = ratatui::try_init()?;
    let (events, reader) = events();
    let theme = Theme::of(|name| std::env::var(name).ok());
    let mut screen = Screen { terminal, model, view, theme, wants, news, events };
    let ended = tokio::select! {
        ended = screen.run() => ended,
        () = any(&mut ends) => Ok(()),
    };
    drop(screen);
    let restored = ratatui::try_restore();
    // It takes leave of the console; one that does not answer just now is left without.
    if timeout(LEAVE, &mut watching).await.is_err() {
        watching.abort();
    }
    // It may be in the middle of a key that never ends; then the process ends without it.
    let _ = timeout(LEAVE, finished(&reader)).await;
    ended.and(restored)
}

async fn finished(thread: &JoinHandle<()>) {
    while !thread.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn any(signals: &mut [tokio::signal::unix::Signal]) {
    std::future::poll_fn(|context| {
        let mut came = signals.iter_mut().map(|signal| signal.poll_recv(context).is_ready());
        if came.any(|came| came) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// What the terminal says, read on a thread of its own until nobody listens.
fn events() -> (mpsc::Receiver<io::Result<Event>>, JoinHandle<()>) {
    let (tell, events) = mpsc::channel(16);
    let reader = std::thread::spawn(move || {
        while !tell.is_closed() {
            let event = match event::poll(POLL) {
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let failed = event.is_err();
            if tell.blocking_send(event).is_err() || failed {
                return;
            }
        }
    });
    (events, reader)
}

struct Screen {
    terminal: DefaultTerminal,
    model: Model,
    view: View,
    theme: Theme,
    wants: watch::Sender<Wants>,
    news: mpsc::Receiver<News>,
    events: mpsc::Receiver<io::Result<Event>>,
}

impl Screen {
    async fn run(&mut self) -> io::Result<()> {
        let mut tick = interval(TICK);
        loop {
            self.draw()?;
            tokio::select! {
                news = self.news.recv() => match news {
                    Some(news) => self.heard(news),
                    // It never ends by itself.
                    None => return Err(io::Error::other("nobody watches the console any more")),
                },
                event = self.events.recv() => match event {
                    Some(event) => if self.happened(&event?) { return Ok(()) },
                    None => return Ok(()),
                },
                _ = tick.tick() => {}
            }
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let Self { terminal, model, view, theme, .. } = self;
        view.resized(terminal.size()?.height);
        let now = clock::now();
        terminal.draw(|frame| draw(frame, model, view, *theme, now))?;
        Ok(())
    }

    fn heard(&mut self, news: News) {
        let now = clock::now();
        match news {
            // One that was under way when the picture was frozen.
            News::Look(_) if self.view.is_frozen() => {}
            News::Look(look) => self.model.saw(look, now),
            News::Lost(why) => self.model.lost(why, now),
        }
        self.view.refresh(&self.model);
    }

    /// Returns whether that was all.
    fn happened(&mut self, event: &Event) -> bool {
        let Some(key) = key(event) else { return false };
        let ends = self.view.key(key, &self.model);
        let wants = wants(&self.view);
        self.wants.send_if_modified(|known| std::mem::replace(known, wants) != wants);
        ends
    }
}

fn wants(view: &View) -> Wants {
    Wants {
        interval: view.interval(),
        clients: view.needs(Show::Clients),
        servers: view.needs(Show::Servers),
        frozen: view.is_frozen(),
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind, .. }) = event else { return None };
    if *kind == KeyEventKind::Release {
        return None;
    }
    if modifiers.contains(KeyModifiers::CONTROL) {
        return (*code == KeyCode::Char('c')).then_some(Key::Stop);
    }
    Some(match code {
        KeyCode::Char(c) => Key::Char(*c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    })
}
