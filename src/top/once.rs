//! One look as plain text, for scripts and for terminals that cannot do more.

use std::time::Duration;

use super::console::{Console, Wants, sentence};
use super::model::Model;
use super::model::figures::{count, time};
use super::model::grid::Grid;
use super::model::panes::Pane;
use super::model::warnings::warnings;
use crate::net::clock;
use crate::server::login::Target;

/// Of the longest lists only the first lines.
const MOST: usize = 20;

/// Looks twice, for the rates, and writes down what there is.
///
/// # Errors
/// Why the console does not answer.
pub(super) async fn look(target: Target, interval: Duration) -> Result<String, String> {
    let wants = Wants { interval, clients: false, servers: false, frozen: false };
    let mut model = Model::new(target.host.to_string());
    let mut console =
        Console::open(&target).await.map_err(|error| sentence(&error, &target.user))?;
    let first = console.look(&wants).await?;
    model.saw(first, clock::now());
    tokio::time::sleep(interval).await;
    let second = console.look(&wants).await?;
    model.saw(second, clock::now());
    console.close();
    Ok(text(&model))
}

fn text(model: &Model) -> String {
    let look = &model.look;
    let mut out = format!("{}  {}  {}\n", model.place, look.version(), look.state());
    if let Some(rates) = model.history.latest() {
        let each = |us: Option<f64>| us.map_or_else(|| "-".to_owned(), time);
        out += &format!(
            "{} xact/s, {} each; {} query/s, {} each; {} waited for a server\n",
            count(rates.transactions),
            each(rates.transaction_us),
            count(rates.queries),
            each(rates.query_us),
            each(rates.wait_us)
        );
    }
    let warnings = warnings(look);
    if !warnings.is_empty() {
        out += "\nWarnings\n";
    }
    for found in warnings {
        out += &format!("{} {}: {}\n", found.mark.sign(), found.what, found.advice);
    }
    for pane in [Pane::Hosts, Pane::Pools, Pane::Databases, Pane::Reads, Pane::Events] {
        let mut grid = pane.grid(model, None);
        if grid.lines.is_empty() {
            continue;
        }
        if let Some(sort) = pane.sort() {
            grid.sort(sort);
        }
        out += &format!("\n{} {}\n", pane.title(), grid.lines.len());
        out += &table(&grid);
    }
    out
}

fn table(grid: &Grid) -> String {
    let columns = grid.fit(1000);
    let mut out = String::new();
    let mut add = |sign: &str, cells: &[&str]| {
        let mut line = sign.to_owned();
        for (at, width) in &columns {
            let right = grid.columns.get(*at).is_some_and(|column| column.right);
            let text: String = cells
                .get(*at)
                .copied()
                .unwrap_or_default()
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            line += &if right { format!(" {text:>width$}") } else { format!(" {text:<width$}") };
        }
        out += line.trim_end();
        out.push('\n');
    };
    add(" ", &grid.columns.iter().map(|column| column.title).collect::<Vec<_>>());
    for line in grid.lines.iter().take(MOST) {
        add(
            line.mark.sign(),
            &line.cells.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>(),
        );
    }
    if grid.lines.len() > MOST {
        out += &format!("  and {} more\n", grid.lines.len() - MOST);
    }
    out
}
