//! What was said, in lines that two poolers can be compared by: without what differs from run to run.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The fields of an ErrorResponse or NoticeResponse beside severity and text: tag and value.
pub type Fields = Vec<(char, String)>;

/// One line of a transcript.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// What was said, normalised.
    pub text: String,
    /// Of an ErrorResponse or NoticeResponse; the text has its `S` and `M`.
    pub fields: Option<Fields>,
}

impl Line {
    /// A line that is no error.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), fields: None }
    }

    /// A field's value.
    pub fn field(&self, tag: char) -> Option<&str> {
        let (_, value) = self.fields.as_ref()?.iter().find(|(known, _)| *known == tag)?;
        Some(value)
    }

    /// For a person to read.
    pub fn shown(&self) -> String {
        let mut shown = self.text.clone();
        for (tag, value) in self.fields.iter().flatten() {
            let _ = write!(shown, " [{tag} {value}]");
        }
        shown
    }

    /// For a file.
    pub fn to_json(&self) -> Value {
        match &self.fields {
            None => json!(self.text),
            Some(_) => json!([self.text, self.field('C').unwrap_or_default()]),
        }
    }

    /// From a file.
    pub fn from_json(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match value {
            Value::Array(parts) => {
                Self { text: text(&parts[0]), fields: Some(vec![('C', text(&parts[1]))]) }
            }
            other => Self::new(text(other)),
        }
    }
}

/// Parameters that only some versions of PostgreSQL report.
const NOT_OF_ALL: [&str; 4] =
    ["default_transaction_read_only", "in_hot_standby", "scram_iterations", "search_path"];

/// A server's message as lines; `who` is the connection's name.
pub fn lines(who: &str, tag: u8, body: &[u8]) -> Vec<Line> {
    let mut body = Body(body);
    let mut more = Vec::new();
    let text = match tag {
        b'R' => authentication(&mut body),
        b'S' => match (body.text(), body.text()) {
            (name, _) if NOT_OF_ALL.contains(&&name[..]) => return Vec::new(),
            (name, _) if name == "server_version" => format!("ParameterStatus {name}"),
            (name, value) => format!("ParameterStatus {name}={value}"),
        },
        b'K' => format!("BackendKeyData of {} bytes", body.0.len()),
        b'Z' => format!("ReadyForQuery {}", char::from(body.byte())),
        b'E' | b'N' => return told(who, tag, &mut body),
        b'T' => {
            more = (0..body.short()).map(|_| column(&mut body)).collect();
            "RowDescription".to_owned()
        }
        b'D' => format!("DataRow {}", row(&mut body).join("|")),
        b'C' => format!("CommandComplete {}", body.text()),
        b't' => {
            let types: Vec<_> = (0..body.short()).map(|_| body.long().to_string()).collect();
            format!("ParameterDescription {}", types.join(","))
        }
        b'd' => format!("CopyData {:?}", String::from_utf8_lossy(body.0)),
        b'G' | b'H' | b'W' => format!("{} {:?}", name(tag), body.0),
        b'A' => {
            body.long();
            format!("NotificationResponse {} {}", body.text(), body.text())
        }
        b'v' => {
            let version = body.long();
            let unknown: Vec<_> = (0..body.long()).map(|_| body.text()).collect();
            format!("NegotiateProtocolVersion {version} {}", unknown.join(","))
        }
        _ => name(tag).to_owned(),
    };
    let mut lines = vec![Line::new(format!("{who}< {}", normalised(&text)))];
    lines.extend(more.into_iter().map(|text| Line::new(format!("{who}<   {text}"))));
    lines
}

fn name(tag: u8) -> &'static str {
    match tag {
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'I' => "EmptyQueryResponse",
        b'n' => "NoData",
        b's' => "PortalSuspended",
        b'c' => "CopyDone",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'W' => "CopyBothResponse",
        b'V' => "FunctionCallResponse",
        _ => "a message of unknown type",
    }
}

fn authentication(body: &mut Body<'_>) -> String {
    match body.long() {
        0 => "AuthenticationOk".to_owned(),
        3 => "AuthenticationCleartextPassword".to_owned(),
        5 => format!("AuthenticationMD5Password, salt of {} bytes", body.0.len()),
        10 => {
            let mut mechanisms = Vec::new();
            while body.0.len() > 1 {
                mechanisms.push(body.text());
            }
            format!("AuthenticationSASL {}", mechanisms.join(","))
        }
        11 => {
            let text = String::from_utf8_lossy(body.0);
            let iterations = text.split(',').find(|part| part.starts_with("i=")).unwrap_or("i=?");
            format!("AuthenticationSASLContinue {iterations}")
        }
        12 => "AuthenticationSASLFinal".to_owned(),
        other => format!("authentication {other}"),
    }
}

fn column(body: &mut Body<'_>) -> String {
    let name = body.text();
    let (_table, _number) = (body.long(), body.short());
    let (kind, _size, _modifier, format) = (body.long(), body.short(), body.long(), body.short());
    format!("column {name} of type {kind}, format {format}")
}

/// The values of a DataRow.
pub fn values(body: &[u8]) -> Vec<String> {
    row(&mut Body(body))
}

/// The names of a RowDescription's columns.
pub fn names(body: &[u8]) -> Vec<String> {
    let mut body = Body(body);
    let count = body.short();
    (0..count)
        .map(|_| {
            let name = body.text();
            body.take(18);
            name
        })
        .collect()
}

fn row(body: &mut Body<'_>) -> Vec<String> {
    (0..body.short())
        .map(|_| match body.long() {
            u32::MAX => "NULL".to_owned(),
            length => String::from_utf8_lossy(body.take(length as usize)).into_owned(),
        })
        .collect()
}

fn told(who: &str, tag: u8, body: &mut Body<'_>) -> Vec<Line> {
    let (mut severity, mut message, mut fields) = (String::new(), String::new(), Fields::new());
    while body.0.len() > 1 {
        match (body.byte(), body.text()) {
            (b'S', value) => severity = value,
            (b'M', value) => message = normalised(&value),
            // Where in PostgreSQL's source: the same server stands behind both.
            (b'F' | b'L' | b'R', _) => {}
            (tag, value) => fields.push((char::from(tag), value)),
        }
    }
    let kind = if tag == b'E' { "ErrorResponse" } else { "NoticeResponse" };
    // SHOW HELP has its lines in DETAIL.
    let at = fields.iter().position(|(tag, _)| *tag == 'D' && message == "Console usage");
    let help = at.map(|at| fields.remove(at).1).unwrap_or_default();
    let text = format!("{who}< {kind} {severity}: {message}");
    let mut lines = vec![Line { text, fields: Some(fields) }];
    lines.extend(help.lines().map(|line| Line::new(format!("{who}<   {}", line.trim()))));
    lines
}

/// Reads what may be too short: what is missing reads as nothing.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn short(&mut self) -> u16 {
        u16::from(self.byte()) << 8 | u16::from(self.byte())
    }

    fn long(&mut self) -> u32 {
        u32::from(self.short()) << 16 | u32::from(self.short())
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(self.take(end)).into_owned();
        self.byte();
        text
    }
}

/// Puts words for what differs from run to run: addresses, versions, how much of a packet had come.
pub fn normalised(text: &str) -> String {
    if let Some((head, _)) = text.split_once("bad packet header: '") {
        return format!("{head}bad packet header: 'HEX'");
    }
    let words = text.split(' ').map(|word| {
        let bare = word.trim_matches(['(', ')', ',', ':', '"', '\'']);
        let other = if let Some((host, port)) = bare.rsplit_once(':')
            && host.ends_with("127.0.0.1")
            && port.parse::<u16>().is_ok()
        {
            format!("{host}:PORT")
        } else if bare.starts_with("age=") {
            "age=AGE".to_owned()
        } else if bare.starts_with("1.") && text.contains("DataRow PgBouncer") {
            "VERSION".to_owned()
        } else {
            return word.to_owned();
        };
        word.replacen(bare, &other, 1)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A line of the log, less time, process number, and whom it is about; `None` for what is none.
pub fn log_line(line: &str) -> Option<String> {
    // 2026-11-25 21:40:00.123 UTC [42] LOG C-0x55...: app/app@127.0.0.1:40000 login attempt: ...
    let (_, rest) = line.split_once("] ")?;
    let (level, rest) = rest.split_once(' ')?;
    for kind in ["C-", "S-"] {
        if let Some(after) = rest.strip_prefix(kind)
            && let Some((_, words)) = after.split_once(": ")
            && let Some((_, words)) = words.split_once(' ')
        {
            return Some(format!("{level} {kind} {}", normalised(words)));
        }
    }
    Some(format!("{level} {}", normalised(rest)))
}
