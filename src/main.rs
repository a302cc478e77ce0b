//! The `pgweir` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    pgweir::cli::main()
}
