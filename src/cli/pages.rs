//! Man page and shell completions, from the table of arguments.

use clap_complete::Shell;

/// The page of the program, or of one of its subcommands, in roff. `None`: there is none of that name.
pub(super) fn man(mut program: clap::Command, subcommand: Option<&str>) -> Option<String> {
    program.build();
    let command = match subcommand {
        None => program,
        Some(name) => program.find_subcommand(name)?.clone(),
    };
    let mut page = Vec::new();
    // Into memory: nothing can go wrong.
    clap_mangen::Man::new(command).render(&mut page).ok()?;
    let page = String::from_utf8_lossy(&page);
    // No date, which would differ from build to build; left out, what follows would stand in its place.
    let lines = page.lines().map(|line| match line.strip_prefix(".TH ") {
        Some(head) => format!(".TH {}", head.replacen(" 1  ", " 1 \"\" ", 1)),
        None => line.to_owned(),
    });
    Some(lines.map(|line| line.trim_end().to_owned() + "\n").collect())
}

/// What the shell is to load.
pub(super) fn completions(mut program: clap::Command, shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "pgweir", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
