//! Which functions and operators of a database only look: never volatile, under any signature. PURE.
//!
//! From pg_proc, so that it holds for what the database's own people have made as well. A name counts as volatile if any
//! function of that name is: which of them a call means depends on types that nobody here knows.

use std::collections::HashMap;

use super::grammar::Calls;

/// Asks for kind (`f` function, `o` operator), schema, name, and whether any of that name is volatile.
pub const QUESTION: &str = "SELECT 'f', n.nspname, p.proname, bool_or(p.provolatile = 'v') \
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace GROUP BY 2, 3 \
    UNION ALL SELECT 'o', '', o.oprname, bool_or(p.provolatile = 'v') \
    FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode GROUP BY 3";

/// What the database has. Names as in the catalog, without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By schema and name, and by name alone under an empty schema: whether any of them is volatile.
    functions: HashMap<(String, String), bool>,
    operators: HashMap<String, bool>,
}

/// Why a text that calls this is not taken for a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The function or operator is volatile, or one of that name.
    Volatile(String),
    /// The database had none of that name when it was asked.
    Unknown(String),
}

impl Catalog {
    /// From the rows that [`QUESTION`] is answered with. Rows that make no sense are left out.
    pub fn new(rows: &[Vec<Option<String>>]) -> Self {
        let mut catalog = Self::default();
        for row in rows {
            let [Some(kind), Some(schema), Some(name), Some(volatile)] = row.as_slice() else {
                continue;
            };
            let volatile = volatile != "f";
            if kind == "o" {
                catalog.operators.insert(name.clone(), volatile);
                continue;
            }
            for schema in [schema.as_str(), ""] {
                let known = catalog.functions.entry((schema.to_owned(), name.clone())).or_default();
                *known |= volatile;
            }
        }
        catalog
    }

    /// Whether all of these only look.
    ///
    /// # Errors
    /// The first that does not, or is not known.
    pub fn vouch(&self, calls: &Calls) -> Result<(), Doubt> {
        for (schema, name) in &calls.functions {
            let full = || if schema.is_empty() { name.clone() } else { format!("{schema}.{name}") };
            match self.functions.get(&(schema.clone(), name.clone())) {
                Some(false) => {}
                Some(true) => return Err(Doubt::Volatile(full())),
                None => return Err(Doubt::Unknown(full())),
            }
        }
        for name in &calls.operators {
            match self.operators.get(name) {
                Some(false) => {}
                Some(true) => return Err(Doubt::Volatile(name.clone())),
                // What the grammar writes as an operator without the catalog having one: `<>` for NOT IN and the like are
                // there, LIKE's `~~` too; anything else is not known.
                None => return Err(Doubt::Unknown(name.clone())),
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Volatile(name) => write!(f, "{name} is volatile"),
            Self::Unknown(name) => write!(f, "the database had no {name} when it was asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::grammar::look;

    fn catalog() -> Catalog {
        let row = |kind: &str, schema: &str, name: &str, volatile: &str| {
            [kind, schema, name, volatile].map(|value| Some(value.to_owned())).to_vec()
        };
        Catalog::new(&[
            row("f", "pg_catalog", "lower", "f"),
            row("f", "pg_catalog", "random", "t"),
            row("f", "app", "lower", "t"),
            row("f", "app", "price", "f"),
            row("o", "", "=", "f"),
            row("o", "", "<!>", "t"),
            vec![None, None, None, None],
        ])
    }

    fn vouch(text: &str) -> Result<(), Doubt> {
        catalog().vouch(&look(text.as_bytes()).unwrap())
    }

    #[test]
    fn what_only_looks_is_vouched_for() {
        assert_eq!(vouch("select app.price(1) = 2, pg_catalog.lower(x) from t"), Ok(()));
    }

    #[test]
    fn what_is_volatile_under_any_signature_or_unknown_is_not() {
        assert_eq!(vouch("select random()"), Err(Doubt::Volatile("random".into())));
        assert_eq!(
            vouch("select lower(x)"),
            Err(Doubt::Volatile("lower".into())),
            "app has one too"
        );
        assert_eq!(vouch("select app.f()"), Err(Doubt::Unknown("app.f".into())));
        assert_eq!(vouch("select 1 <!> 2"), Err(Doubt::Volatile("<!>".into())));
        assert_eq!(vouch("select 1 <@@> 2"), Err(Doubt::Unknown("<@@>".into())));
    }
}
