//! RELOAD after the files have changed.

use crate::house::House;

/// The houses of this area.
pub fn houses() -> Vec<House> {
    vec![databases(), settings(), mistakes(), users()]
}

fn databases() -> House {
    House::new("reload-databases", |ground| {
        let port = ground.server.port();
        ground
            .setup()
            .setting("pool_mode", "transaction")
            .setting("server_lifetime", 3000)
            .database(&format!("going = host=127.0.0.1 port={port} dbname=app"))
            .database(&format!("moving = host=127.0.0.1 port={port} dbname=app"))
            .database(&format!("used = host=127.0.0.1 port={port} dbname=app"))
    })
    .talk("a new one", |t| {
        t.login("a", "app", "coming");
        t.edit(
            "pgweir.ini",
            "[databases]",
            "[databases]\ncoming = host=127.0.0.1 port=@ dbname=app",
        );
        t.console("c").query("RELOAD");
        t.login("a", "app", "coming").query("SELECT 1");
    })
    .talk("one that is gone", |t| {
        let mut a = t.quiet_login("a", "app", "going");
        a.query("SELECT 1");
        t.edit("pgweir.ini", "going =", "; going =");
        t.console("c").query("RELOAD");
        a.end();
        t.log("closing because: database");
        t.login("b", "app", "going");
    })
    .talk("one that is gone, inside a transaction", |t| {
        let mut a = t.quiet_login("a", "app", "used");
        a.query("BEGIN; SELECT 1");
        t.edit("pgweir.ini", "used =", "; used =");
        t.console("c").query("RELOAD");
        a.end();
    })
    .talk("one that leads elsewhere", |t| {
        let mut a = t.quiet_login("a", "app", "moving");
        a.query("BEGIN");
        a.query("SELECT current_database()");
        t.edit(
            "pgweir.ini",
            "moving = host=127.0.0.1 port=@ dbname=app",
            "moving = host=127.0.0.1 port=@ dbname=second",
        );
        t.console("c").query("RELOAD");
        a.query("SELECT current_database()");
        a.query("COMMIT");
        a.query("SELECT current_database()");
    })
}

fn settings() -> House {
    House::new("reload-settings", |ground| ground.setup().setting("client_idle_timeout", 1000))
        .talk("take effect on those who are there", |t| {
            let mut a = t.app("a");
            t.edit("pgweir.ini", "client_idle_timeout = 1000", "client_idle_timeout = 1");
            t.console("c").query("RELOAD");
            a.end();
        })
        .talk("what SET has set lasts until RELOAD", |t| {
            let mut c = t.console("c");
            c.query("SET default_pool_size = 7");
            c.rows("SHOW DATABASES", &["name", "pool_size"]);
            c.query("RELOAD");
            c.rows("SHOW DATABASES", &["name", "pool_size"]);
            c.query("SET query_wait_timeout = '0.5'");
            c.query("SET pool_mode TO transaction");
            c.query("SET admin_users = 'nobody'");
            c.query("SHOW VERSION");
        })
}

/// The last line of the file: what stands behind it has no effect on what stands before, which pgbouncer has read by then.
const LAST: &str = "tcp_defer_accept = 0";

fn mistakes() -> House {
    let cases = [
        ("an unknown setting", LAST, "tcp_defer_accept = 0\nfrobnicate = 1"),
        ("a wrong value", LAST, "tcp_defer_accept = 0\ndefault_pool_size = many"),
        ("a wrong mode", LAST, "tcp_defer_accept = 0\npool_mode = sideways"),
        ("an unknown section", LAST, "tcp_defer_accept = 0\n[unknown]\n"),
        ("a broken line", LAST, "tcp_defer_accept = 0\nhello"),
        ("an unknown key of an entry", LAST, "tcp_defer_accept = 0\n[databases]\nx = frobnicate=1"),
        (
            "the reserved name",
            LAST,
            "tcp_defer_accept = 0\n[databases]\npgbouncer = host=127.0.0.1",
        ),
        ("a wrong port", LAST, "tcp_defer_accept = 0\n[databases]\nx = port=0"),
        ("an include that is missing", LAST, "tcp_defer_accept = 0\n%include /nowhere"),
    ];
    let house = House::new("reload-mistakes", |ground| ground.setup());
    cases.into_iter().fold(house, |house, (name, from, to)| {
        house.talk(name, move |t| {
            let mut a = t.app("a");
            a.query("SELECT 1");
            t.edit("pgweir.ini", from, to);
            t.console("c").query("RELOAD");
            a.query("SELECT 2");
            t.edit("pgweir.ini", to, from);
            t.console("c").query("RELOAD");
        })
    })
}

fn users() -> House {
    House::new("reload-users", |ground| {
        ground.setup().setting("auth_type", "plain").user("changed", "old").user("removed", "x")
    })
    .talk("a password that has changed, a user who is gone, one who is new", |t| {
        let enter = |name, user: &str, password: &str| {
            let mut a = t.connect(name);
            a.startup(&[("user", user), ("database", "nowhere")]);
            a.next();
            a.password(password);
            a.end();
        };
        enter("a", "changed", "old");
        enter("b", "removed", "x");
        t.edit("userlist.txt", "\"changed\" \"old\"", "\"changed\" \"brand new\"");
        t.edit("userlist.txt", "\"removed\" \"x\"", "\"added\" \"y\"");
        let mut c = t.connect("c");
        c.startup(&[("user", "admin"), ("database", "pgbouncer")]);
        c.next();
        c.password("admin");
        c.ready();
        c.query("RELOAD");
        enter("d", "changed", "old");
        enter("e", "changed", "brand new");
        enter("f", "removed", "x");
        enter("g", "added", "y");
    })
}
