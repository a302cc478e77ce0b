//! Headless Chromium, driven through the DevTools protocol over one WebSocket.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::common::home::{Home, Process, as_service};
use crate::common::wait;

/// A browser with one page.
pub(crate) struct Browser {
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    last_id: u64,
    /// What the page reported, in order.
    pub(crate) events: Vec<Value>,
    _process: Process,
    _home: Home,
}

/// Chromium as Debian and others name it.
fn program() -> PathBuf {
    let named = std::env::var_os("PGWEIR_CHROMIUM").map(PathBuf::from);
    let usual = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let mut all = named.into_iter().chain(usual.map(PathBuf::from));
    all.find(|path| path.exists()).expect("no chromium: `make setup` installs it")
}

impl Browser {
    /// Starts it with an empty page.
    pub(crate) fn start() -> Self {
        let home = Home::new();
        let profile = home.folder("chromium");
        let mut command = as_service(program());
        command.env("HOME", &profile).arg(format!("--user-data-dir={}", profile.display()));
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--remote-debugging-port=0",
            "about:blank",
        ]);
        let mut process =
            Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()), &home);
        let told = profile.join("DevToolsActivePort");
        let (port, path) = wait::value("Chromium's port", wait::DEADLINE, || {
            assert!(process.ended().is_none(), "Chromium ended");
            let text = fs::read_to_string(&told).ok()?;
            let (port, path) = text.split_once('\n')?;
            Some((port.parse::<u16>().ok()?, path.trim().to_owned()))
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        let (socket, _) =
            tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        let (session, events) = (None, Vec::new());
        let mut browser =
            Self { socket, session, last_id: 0, events, _process: process, _home: home };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method and waits for its answer; events that come by are kept.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
            self.events.push(answer);
        }
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
        self.wait("document.readyState === 'complete'");
    }

    /// The value of a JavaScript expression; promises are awaited.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// The same, as text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        match self.eval(expression) {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// Waits until an expression holds; while what it speaks of is not there it does not.
    #[track_caller]
    pub(crate) fn wait(&mut self, condition: &str) {
        let holds =
            format!("(() => {{ try {{ return !!({condition}); }} catch {{ return false; }} }})()");
        wait::until(condition, wait::DEADLINE, || self.eval(&holds) == true);
    }

    /// Presses and releases a key, such as `Tab` or `Enter`.
    pub(crate) fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            _ => panic!("no number for {key}"),
        };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// How wide the window is, and whether the system is set to dark.
    pub(crate) fn look(&mut self, width: u32, dark: bool) {
        let size = json!({
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let value = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// A picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.call("Page.captureScreenshot", params);
        let data = answer["data"].as_str().unwrap();
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, base64::engine::general_purpose::STANDARD.decode(data).unwrap()).unwrap();
    }

    /// Everything that the page complained of: errors, warnings, exceptions.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.settle();
        let of = |event: &Value| {
            let params = &event["params"];
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(params["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled" => Some(params["args"].to_string()),
                "Log.entryAdded" => Some(params["entry"].to_string()),
                _ => None,
            }
        };
        self.events.iter().filter_map(of).collect()
    }

    /// The addresses that the page asked for.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.settle();
        let sent =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What has happened by now has been reported before this is answered.
    fn settle(&mut self) {
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
    }
}
