//! A login by a driver, and what becomes of it.

use tokio_postgres::{Config, NoTls};

use super::Weir;

/// Logs in and asks the server who it thinks we are; else SQLSTATE and text of the refusal.
///
/// # Errors
/// The refusal.
pub fn log_in(
    weir: &Weir,
    user: &str,
    password: &str,
    database: &str,
) -> Result<String, (String, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let words = |error: tokio_postgres::Error| {
        let error = error.as_db_error().unwrap_or_else(|| panic!("{error}")).clone();
        (error.code().code().to_owned(), error.message().to_owned())
    };
    runtime.block_on(async {
        let (client, connection) = Config::new()
            .host("127.0.0.1")
            .port(weir.port())
            .user(user)
            .password(password)
            .dbname(database)
            .connect(NoTls)
            .await
            .map_err(words)?;
        let connection = tokio::spawn(connection);
        let row = client.query_one("SELECT current_user::text", &[]).await.map_err(words)?;
        drop(client);
        connection.await.unwrap().unwrap();
        Ok(row.get(0))
    })
}
