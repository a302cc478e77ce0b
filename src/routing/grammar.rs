//! What PostgreSQL's own grammar says of a text: whether it is one statement that only reads. PURE.
//!
//! The tree is walked by what may be in it, not by what may not: a node that is not known here makes the text none of
//! ours. So a grammar that grows sends more to the primary, never something wrong to a replica. What the grammar cannot
//! tell, which functions only look, is left to [`super::catalog`].
//!
//! A replica refuses to write whatever we think of a text, so the worst that an error here can do is to cost a round
//! trip. What a replica would carry out and should not is what counts: locks, and the state of one server.

use std::fmt;

use serde_json::Value;

/// Longest text that is looked at, bytes.
const LONGEST: usize = 32 * 1024;

/// Why a text is not taken for a read. For the operator: `EXPLAIN ROUTE` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotARead {
    /// Longer than 32 KiB.
    TooLong,
    /// Not UTF-8, or with a backslash, whose meaning depends on `standard_conforming_strings`.
    Ambiguous,
    /// The grammar refuses it; its words.
    Refused(String),
    /// None at all, or several.
    NotOneStatement(usize),
    /// Another statement than SELECT, VALUES, TABLE or EXPLAIN of these; its name in the grammar.
    Statement(String),
    /// `FOR UPDATE` and the like.
    Locks,
    /// `SELECT … INTO`.
    Into,
    /// It looks at what differs from server to server, or belongs to the session.
    OwnState(String),
    /// Something that is not known here; its name in the grammar.
    Unknown(String),
}

impl fmt::Display for NotARead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {LONGEST} bytes"),
            Self::Ambiguous => f.write_str(
                "it has a backslash or is not UTF-8: what it means depends on the session",
            ),
            Self::Refused(words) => write!(f, "PostgreSQL's grammar refuses it: {words}"),
            Self::NotOneStatement(count) => write!(f, "it is {count} statements, not one"),
            Self::Statement(kind) => write!(f, "it is no SELECT but {kind}"),
            Self::Locks => f.write_str("it locks rows (FOR UPDATE and the like)"),
            Self::Into => f.write_str("it makes a table (INTO)"),
            Self::OwnState(name) => write!(f, "{name} shows one server's or one session's state"),
            Self::Unknown(kind) => write!(f, "{kind} in it is not known to only read"),
        }
    }
}

/// What a text calls: it only reads if all of this does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Functions by name: schema (empty if it names none), name.
    pub functions: Vec<(String, String)>,
    /// Operators by name.
    pub operators: Vec<String>,
}

/// Looks at a text.
///
/// # Errors
/// Why it is not one statement that only reads, whatever it calls.
pub fn look(text: &[u8]) -> Result<Calls, NotARead> {
    if text.len() > LONGEST {
        return Err(NotARead::TooLong);
    }
    let text = std::str::from_utf8(text).map_err(|_| NotARead::Ambiguous)?;
    if text.contains('\\') {
        return Err(NotARead::Ambiguous);
    }
    let parsed = pg_query::parse(text, pg_query::ParserOptions::DEFAULT)
        .map_err(|error| NotARead::Refused(error.to_string()))?;
    let tree = serde_json::to_value(&parsed.protobuf.stmts)
        .map_err(|error| NotARead::Refused(error.to_string()))?;
    let statements = tree.as_array().map(Vec::as_slice).unwrap_or_default();
    let [statement] = statements else {
        return Err(NotARead::NotOneStatement(statements.len()));
    };
    let (kind, fields) = node(&statement["stmt"]).ok_or(NotARead::NotOneStatement(0))?;
    let mut calls = Calls::default();
    match kind {
        "SelectStmt" => walk(&statement["stmt"], &mut calls)?,
        // Only of a SELECT: ANALYZE runs it.
        "ExplainStmt" => match node(&fields["query"]) {
            Some(("SelectStmt", _)) => walk(&fields["query"], &mut calls)?,
            _ => return Err(NotARead::Statement(kind.to_owned())),
        },
        _ => return Err(NotARead::Statement(kind.to_owned())),
    }
    Ok(calls)
}

/// Kind and fields of a node: `{"node": {"KIND": {…}}}`. (SORT BY has a field of that name, among others.)
fn node(value: &Value) -> Option<(&str, &Value)> {
    let wrapper = value.as_object().filter(|object| object.len() == 1)?;
    let (kind, fields) = wrapper.get("node")?.as_object()?.iter().next()?;
    Some((kind, fields))
}

fn walk(value: &Value, calls: &mut Calls) -> Result<(), NotARead> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| walk(item, calls)),
        Value::Object(fields) => {
            if let Some((kind, fields)) = node(value) {
                enter(kind, fields, calls)?;
            }
            // Some nodes stand in their place without their kind.
            match (fields.get("into_clause"), fields.get("relname")) {
                (Some(into), _) if !into.is_null() => return Err(NotARead::Into),
                (_, Some(_)) => relation(value)?,
                _ => {}
            }
            fields.values().try_for_each(|field| walk(field, calls))
        }
        _ => Ok(()),
    }
}

/// What a node of this kind says.
fn enter(kind: &str, fields: &Value, calls: &mut Calls) -> Result<(), NotARead> {
    match kind {
        "FuncCall" => calls.functions.push(qualified(&fields["funcname"])),
        "AExpr" => calls.operators.extend(last_name(&fields["name"])),
        "SubLink" => calls.operators.extend(last_name(&fields["oper_name"])),
        "SortBy" => calls.operators.extend(last_name(&fields["use_op"])),
        "LockingClause" => return Err(NotARead::Locks),
        // Each with what is below it.
        "SelectStmt" | "CommonTableExpr" | "WithClause" | "ResTarget" | "ColumnRef"
        | "ParamRef" | "AConst" | "AStar" | "AArrayExpr" | "AIndices" | "AIndirection"
        | "BoolExpr" | "BooleanTest" | "NullTest" | "CaseExpr" | "CaseWhen" | "CoalesceExpr"
        | "MinMaxExpr" | "RowExpr" | "NamedArgExpr" | "CollateClause" | "TypeCast" | "TypeName"
        | "GroupingSet" | "GroupingFunc" | "WindowDef" | "RangeVar" | "RangeSubselect"
        | "RangeFunction" | "RangeTableSample" | "JoinExpr" | "Alias" | "List" | "String"
        | "Integer" | "Float" | "Boolean" | "BitString" => {}
        // CURRENT_USER and the like belong to the session, and the session is the same everywhere; so does the clock's
        // time of the transaction.
        "SqlvalueFunction" => {}
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
            return Err(NotARead::Statement(kind.to_owned()));
        }
        _ => return Err(NotARead::Unknown(kind.to_owned())),
    }
    Ok(())
}

/// A table or view by name. What shows a server's or a session's own state is asked of the primary; so is what only the
/// session has.
fn relation(fields: &Value) -> Result<(), NotARead> {
    let part = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let (schema, name) = (part("schemaname"), part("relname"));
    let of_session = schema.starts_with("pg_temp") || part("relpersistence") == "t";
    let of_server = matches!(schema, "" | "pg_catalog")
        && OWN_STATE.iter().any(|prefix| name.starts_with(prefix));
    if of_session || of_server {
        return Err(NotARead::OwnState(name.to_owned()));
    }
    Ok(())
}

/// How the system views begin that do not show the same on each server: activity, locks, settings, cursors, slots, ….
const OWN_STATE: [&str; 14] = [
    "pg_stat_",
    "pg_statio_",
    "pg_locks",
    "pg_settings",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_cursors",
    "pg_prepared_",
    "pg_replication_",
    "pg_backend_memory_contexts",
    "pg_shmem_allocations",
    "pg_aios",
    "pg_wait_events",
];

/// A list of String nodes as schema and name.
fn qualified(names: &Value) -> (String, String) {
    let mut names = strings(names);
    let name = names.pop().unwrap_or_default();
    (names.pop().unwrap_or_default(), name)
}

fn last_name(names: &Value) -> Option<String> {
    strings(names).pop()
}

fn strings(names: &Value) -> Vec<String> {
    let text = |item: &Value| Some(node(item)?.1.get("sval")?.as_str()?.to_owned());
    names.as_array().into_iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(text: &str) -> Calls {
        look(text.as_bytes()).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    fn no_read(text: &str) -> NotARead {
        look(text.as_bytes()).err().unwrap_or_else(|| panic!("{text} is taken for a read"))
    }

    #[test]
    fn one_select_in_any_form_is_a_read_if_all_that_it_calls_is() {
        for text in [
            "select 1",
            "SELECT a, b FROM t WHERE x = $1 ORDER BY 2 LIMIT 10;",
            "table t",
            "values (1, 'a'), (2, null)",
            "with recursive r(n) as (values (1) union all select n + 1 from r) select * from r",
            "select case when a then b else c end, coalesce(a, b), array[1,2], row(1,2), a::int, x[1:2] from s.t t(a)",
            "select * from a join b using (id) left join lateral (select * from c where c.x = a.x) d on true",
            "select sum(x) filter (where y) over (partition by z) from t group by grouping sets ((a), ()) having true",
            "select current_date, current_user, x at time zone 'utc' from t tablesample system (1)",
            "select * from generate_series(1, 3) g",
            "select a is not distinct from b, a between 1 and 2, a in (1,2), exists (select), b'101', 1.5, -1",
            "explain select 1",
            "explain (analyze) select 1",
            "select * from information_schema.tables",
            "select relname from pg_class",
            "/* a comment */ select 1 -- another",
        ] {
            reads(text);
        }
    }

    #[test]
    fn what_it_calls_is_named() {
        let calls = reads("select f(1), s.g(x => 2) from h() where a <-> b order by c using <");
        let name = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        let mut functions = calls.functions;
        functions.sort();
        assert_eq!(functions, [name("", "f"), name("", "h"), name("s", "g")]);
        let mut operators = calls.operators;
        operators.sort();
        assert_eq!(operators, ["<", "<->"]);
    }

    #[test]
    fn whatever_may_write_lock_or_make_something_is_none() {
        for (text, why) in [
            ("insert into t values (1)", "no SELECT but InsertStmt"),
            ("update t set a = 1", "no SELECT but UpdateStmt"),
            (
                "with x as (insert into t values (1) returning *) select * from x",
                "no SELECT but InsertStmt",
            ),
            ("select * from (select 1) s, t for no key update", "locks"),
            ("select * from t where a in (select b from u for share)", "locks"),
            ("select 1 into t", "INTO"),
            ("select 1 union select 2 into temp t", "INTO"),
            ("create temp table t ()", "no SELECT but CreateStmt"),
            ("explain analyze delete from t", "no SELECT but ExplainStmt"),
            ("begin", "no SELECT but TransactionStmt"),
            ("set a = 1", "no SELECT but VariableSetStmt"),
            ("show all", "no SELECT but VariableShowStmt"),
            ("select 1; select 2", "2 statements"),
            ("", "0 statements"),
            ("call p()", "no SELECT but CallStmt"),
            ("copy t from stdin", "no SELECT but CopyStmt"),
            ("selec 1", "grammar refuses"),
            (r"select 'a\'", "backslash"),
            ("select * from pg_temp.t", "t shows"),
            ("select * from pg_stat_activity", "pg_stat_activity shows"),
            ("select * from pg_catalog.pg_locks", "pg_locks shows"),
            ("select xmlelement(name a)", "XmlExpr"),
        ] {
            let told = no_read(text).to_string();
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        for text in [
            format!("select 1{}", "+1".repeat(10_000)),
            format!("select {}1", "not ".repeat(8000)),
            format!("select {}1", "- ".repeat(16_000)),
            format!("{}select 1{}", "select * from (".repeat(900), ") s".repeat(900)),
        ] {
            assert!(matches!(no_read(&text), NotARead::Refused(_)), "{}", no_read(&text));
        }
        assert_eq!(no_read(&" ".repeat(LONGEST + 1)), NotARead::TooLong);
    }
}
