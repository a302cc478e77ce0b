//! One thing that a check has found, and how it is written down: text for people, JSON for programs (docs/check.md).

use std::fmt;

use serde_json::{Map, Value, json};

use crate::config::{HostAddr, Place, Told};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Severity {
    /// Something that the file asks for will not work.
    Error,
    /// It works, but not for everybody, or until something happens.
    Warning,
    /// To be known.
    Note,
}

impl Severity {
    pub(in crate::cli) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// See the module's words. No part has a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    pub(in crate::cli) severity: Severity,
    /// What was looked at: one word of the list in docs/check.md.
    pub(in crate::cli) check: &'static str,
    /// The line of a file.
    pub(in crate::cli) at: Option<Place>,
    /// Database entries.
    pub(in crate::cli) databases: Vec<String>,
    pub(in crate::cli) host: Option<String>,
    pub(in crate::cli) user: Option<String>,
    /// What is the matter.
    pub(in crate::cli) what: String,
    pub(in crate::cli) found: Option<String>,
    pub(in crate::cli) allowed: Option<String>,
    /// What to do.
    pub(in crate::cli) advice: Option<String>,
}

impl Finding {
    pub(in crate::cli) fn new(
        severity: Severity,
        check: &'static str,
        what: impl Into<String>,
    ) -> Self {
        let (at, databases, host, user) = Default::default();
        let (found, allowed, advice) = Default::default();
        let what = what.into();
        Self { severity, check, at, databases, host, user, what, found, allowed, advice }
    }

    pub(in crate::cli) fn error(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Error, check, what)
    }

    pub(in crate::cli) fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, what)
    }

    pub(in crate::cli) fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, check, what)
    }

    /// What is wrong with the files.
    pub(in crate::cli) fn told(told: Told) -> Self {
        let Told { at, what, found, allowed, advice } = told;
        Self { at, found, allowed, advice, ..Self::error("configuration", what) }
    }

    pub(in crate::cli) fn at(self, at: Option<Place>) -> Self {
        Self { at, ..self }
    }

    pub(in crate::cli) fn entry(self, name: &str) -> Self {
        self.entries(&[name.to_owned()])
    }

    pub(in crate::cli) fn entries(self, names: &[String]) -> Self {
        Self { databases: names.to_vec(), ..self }
    }

    pub(in crate::cli) fn host(self, host: &HostAddr) -> Self {
        Self { host: Some(host.to_string()), ..self }
    }

    pub(in crate::cli) fn user(self, user: &str) -> Self {
        Self { user: Some(user.to_owned()), ..self }
    }

    pub(in crate::cli) fn found(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }

    pub(in crate::cli) fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    pub(in crate::cli) fn json(&self) -> Value {
        let place = |at: &Place| json!({"file": at.file.display().to_string(), "line": at.line});
        json!({
            "severity": self.severity.name(),
            "check": self.check,
            "place": self.at.as_ref().map(place),
            "databases": self.databases,
            "host": self.host,
            "user": self.user,
            "what": self.what,
            "found": self.found,
            "allowed": self.allowed,
            "advice": self.advice,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        write!(f, "{}: ", self.severity.name())?;
        let mut subject = self.databases.join(", ");
        for (preposition, of) in [(" at ", &self.host), (" as ", &self.user)] {
            if let Some(of) = of {
                subject.push_str(preposition);
                subject.push_str(of);
            }
        }
        if !subject.is_empty() {
            write!(f, "{}: ", subject.trim_start())?;
        }
        f.write_str(&self.what)?;
        let parts = [("found", &self.found), ("allowed", &self.allowed), ("advice", &self.advice)];
        for (name, part) in parts {
            if let Some(part) = part {
                write!(f, "\n    {name}: {part}")?;
            }
        }
        Ok(())
    }
}

/// What a host said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct HostReport {
    /// Address as the entries name it.
    pub(in crate::cli) host: String,
    /// The entries that name it.
    pub(in crate::cli) databases: Vec<String>,
    /// What the name leads to.
    pub(in crate::cli) addresses: Vec<String>,
    /// It took a TCP connection.
    pub(in crate::cli) reached: bool,
    /// Version and cipher; `None`: in the clear.
    pub(in crate::cli) tls: Option<String>,
    pub(in crate::cli) role: Option<&'static str>,
    pub(in crate::cli) timeline: Option<u32>,
    pub(in crate::cli) lag_bytes: Option<u64>,
    pub(in crate::cli) system_identifier: Option<u64>,
    pub(in crate::cli) version: Option<String>,
    pub(in crate::cli) max_connections: Option<u32>,
    /// Of those, for superusers and `pg_use_reserved_connections`.
    pub(in crate::cli) reserved: Option<u32>,
    /// What the pools may open there together; `None`: without limit.
    pub(in crate::cli) pools: Option<u64>,
    pub(in crate::cli) password_encryption: Option<String>,
}

impl HostReport {
    fn json(&self) -> Value {
        json!({
            "host": self.host,
            "databases": self.databases,
            "addresses": self.addresses,
            "reached": self.reached,
            "tls": self.tls,
            "role": self.role,
            "timeline": self.timeline,
            "lag_bytes": self.lag_bytes,
            // A number of 64 bits, which not every reader of JSON can hold.
            "system_identifier": self.system_identifier.map(|id| id.to_string()),
            "version": self.version,
            "max_connections": self.max_connections,
            "reserved_connections": self.reserved,
            "pool_connections": self.pools,
            "password_encryption": self.password_encryption,
        })
    }
}

impl fmt::Display for HostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is ", self.databases.join(", "), self.host)?;
        f.write_str(self.role.unwrap_or(if self.reached { "reached" } else { "not reached" }))?;
        if let Some(timeline) = self.timeline {
            write!(f, ", timeline {timeline}")?;
        }
        if let Some(lag) = self.lag_bytes.filter(|lag| *lag > 0) {
            write!(f, ", {lag} bytes behind")?;
        }
        if let Some(version) = &self.version {
            write!(f, ", PostgreSQL {version}")?;
        }
        if self.reached {
            write!(f, ", {}", self.tls.as_deref().unwrap_or("no TLS"))?;
        }
        match (self.max_connections, self.pools) {
            (Some(max), Some(pools)) => {
                write!(f, ", at most {pools} of {max} connections for the pools")
            }
            _ => Ok(()),
        }
    }
}

/// All of a check.
#[derive(Debug, Default)]
pub(in crate::cli) struct Report {
    pub(in crate::cli) findings: Vec<Finding>,
    pub(in crate::cli) hosts: Vec<HostReport>,
    /// Further facts, for people.
    pub(in crate::cli) facts: Vec<String>,
    /// Database entries there are.
    pub(in crate::cli) entries: usize,
    /// Whether hosts were looked at.
    pub(in crate::cli) live: bool,
}

impl Report {
    pub(in crate::cli) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Nothing that will not work.
    pub(in crate::cli) fn is_well(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// In the order in which they are to be read: file and line first, then what belongs to no line. What was done at the
    /// same time came in any order; the last keys make it the same each time.
    pub(in crate::cli) fn sort(&mut self) {
        self.findings.sort_by_cached_key(|finding| {
            let Finding { severity, check, at, host, user, .. } = finding.clone();
            let at = at.map(|at| (at.file, at.line));
            let from_files = matches!(check, "configuration" | "no-effect" | "double");
            (at.is_none(), at, severity, !from_files, host, user)
        });
        self.findings.dedup();
    }

    pub(in crate::cli) fn text(&self, file: &str) -> String {
        let mut lines: Vec<String> = self.hosts.iter().map(HostReport::to_string).collect();
        lines.extend(self.facts.iter().cloned());
        lines.extend(self.findings.iter().map(Finding::to_string));
        let [errors, warnings, notes] = self.counts();
        let seen = if self.live { "" } else { ", hosts not looked at" };
        let verdict = if self.is_well() { "ok" } else { "not ok" };
        lines.push(format!(
            "{file}: {verdict}, {} database entries, {errors} errors, {warnings} warnings, {notes} notes{seen}\n",
            self.entries
        ));
        lines.join("\n")
    }

    fn counts(&self) -> [usize; 3] {
        [Severity::Error, Severity::Warning, Severity::Note].map(|severity| self.count(severity))
    }

    pub(in crate::cli) fn json(&self, file: &str) -> Value {
        let [errors, warnings, notes] = self.counts();
        let mut all = Map::new();
        all.insert("schema".to_owned(), json!(1));
        all.insert("file".to_owned(), json!(file));
        all.insert("ok".to_owned(), json!(self.is_well()));
        all.insert("live".to_owned(), json!(self.live));
        all.insert("errors".to_owned(), json!(errors));
        all.insert("warnings".to_owned(), json!(warnings));
        all.insert("notes".to_owned(), json!(notes));
        let findings: Vec<Value> = self.findings.iter().map(Finding::json).collect();
        all.insert("findings".to_owned(), findings.into());
        let hosts: Vec<Value> = self.hosts.iter().map(HostReport::json).collect();
        all.insert("hosts".to_owned(), hosts.into());
        Value::Object(all)
    }
}
