//! The pages as Markdown: their code blocks, and what stands in code font.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A page of the book, or the README.
#[derive(Debug)]
pub(crate) struct Page {
    /// As `docs/start.md`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// The folder of this package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files in docs/ that are pages, SUMMARY.md aside.
pub(crate) fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| {
        path.extension().is_some_and(|it| it == "md") && !path.ends_with("SUMMARY.md")
    };
    let mut files: Vec<PathBuf> = entries.filter(is_page).collect();
    files.sort();
    files
}

/// All pages, and the README.
pub(crate) fn all() -> Vec<Page> {
    files().into_iter().chain([root().join("README.md")]).map(|path| page(&path)).collect()
}

pub(crate) fn page(path: &Path) -> Page {
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    Page { name, text: fs::read_to_string(path).unwrap() }
}

impl Page {
    fn events(&self) -> Parser<'_> {
        Parser::new_ext(&self.text, Options::ENABLE_TABLES)
    }

    /// Its fenced blocks, in order.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_open = false;
        for event in self.events() {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    is_open = true;
                    blocks.push(Block { language: info.to_string(), text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => is_open = false,
                Event::Text(text) if is_open => blocks.last_mut().unwrap().text.push_str(&text),
                _ => {}
            }
        }
        blocks
    }

    /// What stands in code font within its text. Not the first column of a table whose head says that others' names stand
    /// there, or fields of JSON and columns.
    pub(crate) fn code(&self) -> Vec<String> {
        let mut found = Vec::new();
        let (mut head, mut is_head, mut column) = (String::new(), false, 0);
        for event in self.events() {
            match event {
                Event::Start(Tag::TableHead) => (head, is_head, column) = (String::new(), true, 0),
                Event::End(TagEnd::TableHead) => is_head = false,
                Event::End(TagEnd::Table) => head.clear(),
                Event::Start(Tag::TableRow) => column = 0,
                Event::End(TagEnd::TableCell) => column += 1,
                Event::Text(text) if is_head && column == 0 => head.push_str(&text),
                Event::Code(text) if column > 0 || !is_of_others(&head) => {
                    found.push(text.to_string());
                }
                _ => {}
            }
        }
        found
    }
}

fn is_of_others(head: &str) -> bool {
    ["field", "column", "pgcat", "HAProxy", "Pgpool-II"].iter().any(|other| head.starts_with(other))
}
