//! How things look. Colour only repeats what words and signs say: without it nothing is lost.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::bar;

use crate::top::model::grid::Mark;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::top) struct Theme {
    /// Colours; not with `NO_COLOR` (no-color.org).
    pub(super) colour: bool,
    /// More than ASCII: blocks, lines, arrows.
    pub(super) unicode: bool,
}

impl Theme {
    /// By these variables of the environment.
    pub(in crate::top) fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(given);
        let locale = locale.unwrap_or_default().to_lowercase();
        Self {
            colour: given("NO_COLOR").is_none(),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// A line of a grid, or a warning.
    pub(super) fn mark(self, mark: Mark) -> Style {
        match mark {
            Mark::Plain => Style::new(),
            Mark::Quiet => Style::new().add_modifier(Modifier::DIM),
            Mark::Warn => self.coloured(Color::Yellow),
            Mark::Bad => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// What stands above columns.
    pub(super) fn heading(self) -> Style {
        Style::new().add_modifier(Modifier::UNDERLINED | Modifier::DIM)
    }

    /// The title of a pane.
    pub(super) fn title(self, focused: bool) -> Style {
        let style = if focused { self.coloured(Color::Cyan) } else { Style::new() };
        if focused { style.add_modifier(Modifier::BOLD) } else { style }
    }

    /// The chosen line.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What is only there to lead the eye.
    pub(super) fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A figure that matters.
    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The bars of a chart.
    pub(super) fn chart(self) -> Style {
        self.coloured(Color::Cyan)
    }

    /// What bars are made of.
    pub(super) fn bars(self) -> bar::Set<'static> {
        if self.unicode { bar::NINE_LEVELS } else { ASCII_BARS }
    }

    /// The arrow at the column that is sorted by.
    pub(super) fn arrow(self, descending: bool) -> char {
        match (self.unicode, descending) {
            (true, true) => '▼',
            (true, false) => '▲',
            (false, true) => 'v',
            (false, false) => '^',
        }
    }

    /// The line beside a title.
    pub(super) fn rule(self) -> char {
        if self.unicode { '─' } else { '-' }
    }

    /// At the end of what was cut.
    pub(super) fn cut(self) -> char {
        if self.unicode { '…' } else { '~' }
    }
}

const ASCII_BARS: bar::Set<'static> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "=",
    five_eighths: "=",
    half: "-",
    three_eighths: "-",
    one_quarter: "_",
    one_eighth: "_",
    empty: " ",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Theme {
        Theme::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_the_terminal_can_show() {
        assert_eq!(of(&[("LANG", "C.UTF-8")]), Theme { colour: true, unicode: true });
        assert_eq!(
            of(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")]),
            Theme { colour: true, unicode: false }
        );
        assert_eq!(
            of(&[("LC_ALL", ""), ("LANG", "de_DE.utf8")]),
            Theme { colour: true, unicode: true }
        );
        assert!(!of(&[("NO_COLOR", "1")]).colour);
        assert!(of(&[("NO_COLOR", "")]).colour, "an empty one counts for nothing");
    }

    #[test]
    fn without_colour_nothing_is_coloured() {
        let theme = Theme { colour: false, unicode: true };
        for mark in [Mark::Plain, Mark::Quiet, Mark::Warn, Mark::Bad] {
            assert_eq!(theme.mark(mark).fg, None);
        }
        assert_eq!((theme.title(true).fg, theme.chart().fg), (None, None));
    }
}
