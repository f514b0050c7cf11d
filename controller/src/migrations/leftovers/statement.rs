//! What a statement with `CONCURRENTLY` builds or removes, and the queries that show what an earlier
//! run left behind. Pure.

/// A statement that runs concurrently. Names are as written, or in upper case if they are not quoted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConcurrentStatement {
    CreateIndex {
        name: Option<String>,
        table: String,
        if_not_exists: bool,
    },
    ReindexIndex(String),
    ReindexTable(String),
    ReindexSchema(String),
    ReindexDatabase,
    Removes(Removal),
}

/// A statement that fails if it has already succeeded, because what it removes does not exist.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Removal {
    Index(String),
    /// Detaches a partition from its table, or completes that.
    Partition {
        table: String,
        partition: String,
        finalizes: bool,
    },
}

impl Removal {
    /// A query with one row if what the statement removes exists: whether it is half removed.
    pub(super) fn target(&self) -> String {
        match self {
            Self::Index(index) => {
                format!("SELECT false WHERE {} IS NOT NULL", regclass(index))
            }
            Self::Partition {
                table, partition, ..
            } => format!(
                "SELECT inhdetachpending FROM pg_inherits WHERE inhparent = {} AND inhrelid = {}",
                regclass(table),
                regclass(partition)
            ),
        }
    }

    /// The statement that completes an interrupted one, unless that completes itself.
    pub(super) fn completion(&self) -> Option<String> {
        match self {
            Self::Partition {
                table,
                partition,
                finalizes: false,
            } => Some(format!(
                "ALTER TABLE {table} DETACH PARTITION {partition} FINALIZE"
            )),
            _ => None,
        }
    }
}

impl ConcurrentStatement {
    pub(super) fn parse(head: &[&str]) -> Option<Self> {
        match head {
            ["CREATE", "INDEX", "CONCURRENTLY", rest @ ..]
            | ["CREATE", "UNIQUE", "INDEX", "CONCURRENTLY", rest @ ..] => create_index(rest),
            ["REINDEX", ..] if head.contains(&"CONCURRENTLY") => reindex(head),
            // With IF EXISTS, it can be repeated.
            ["DROP", "INDEX", "CONCURRENTLY", "IF", "EXISTS", ..] => None,
            ["DROP", "INDEX", "CONCURRENTLY", rest @ ..] => {
                Some(Self::Removes(Removal::Index(relation_name(rest)?)))
            }
            ["ALTER", "TABLE", rest @ ..] => detach_partition(rest),
            _ => None,
        }
    }

    pub(super) fn is_unnamed(&self) -> bool {
        matches!(self, Self::CreateIndex { name: None, .. })
    }

    /// Whether the statement fails if it has already succeeded.
    pub(super) fn fails_if_exists(&self) -> bool {
        matches!(
            self,
            Self::CreateIndex {
                name: Some(_),
                if_not_exists: false,
                ..
            }
        )
    }

    /// A query for the indexes that the statement creates or that an earlier run left: their quoted
    /// names, and whether they are valid.
    pub(super) fn indexes(&self) -> String {
        let condition = match self {
            Self::CreateIndex {
                name: Some(name),
                table,
                ..
            } => format!(
                "indrelid = {} AND relname = (parse_ident('{}'))[1]::name",
                regclass(table),
                name.replace('\'', "''"),
            ),
            Self::CreateIndex {
                name: None, table, ..
            } => format!(
                "indrelid = {} AND NOT indisvalid AND relname ~ '_idx[0-9]*$'",
                regclass(table)
            ),
            Self::ReindexIndex(index) => leftover_of(&format!(
                "indrelid IN (SELECT indrelid FROM pg_index WHERE indexrelid = {0} \
                 OR indexrelid IN (SELECT relid FROM pg_partition_tree({0})))",
                regclass(index),
            )),
            Self::ReindexTable(table) => leftover_of(&format!(
                "(indrelid = {0} OR indrelid IN (SELECT relid FROM pg_partition_tree({0})))",
                regclass(table),
            )),
            Self::ReindexSchema(schema) => leftover_of(&format!(
                "nspname = (parse_ident('{}'))[1]::name",
                schema.replace('\'', "''")
            )),
            Self::ReindexDatabase => leftover_of("true"),
            // A removal leaves no index.
            Self::Removes(_) => "false".to_owned(),
        };
        format!(
            "SELECT format('%I.%I', nspname, relname), indisvalid FROM pg_index \
             JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname NOT IN ('pg_catalog', 'pg_toast') AND {condition} LIMIT {MAX_INDEXES}"
        )
    }
}

/// Indexes that are dropped before one run.
const MAX_INDEXES: usize = 100;

fn leftover_of(scope: &str) -> String {
    format!("NOT indisvalid AND relname ~ '_cc(new|old)[0-9]*$' AND {scope}")
}

fn create_index(rest: &[&str]) -> Option<ConcurrentStatement> {
    let (if_not_exists, rest) = match rest {
        ["IF", "NOT", "EXISTS", rest @ ..] => (true, rest),
        _ => (false, rest),
    };
    let (name, rest) = match rest {
        ["ON", rest @ ..] => (None, rest),
        [name, "ON", rest @ ..] => (Some((*name).to_owned()), rest),
        _ => return None,
    };
    let rest = match rest {
        ["ONLY", rest @ ..] => rest,
        _ => rest,
    };
    Some(ConcurrentStatement::CreateIndex {
        name,
        table: relation_name(rest)?,
        if_not_exists,
    })
}

fn reindex(head: &[&str]) -> Option<ConcurrentStatement> {
    let kind = head
        .iter()
        .position(|word| matches!(*word, "INDEX" | "TABLE" | "SCHEMA" | "DATABASE"))?;
    let rest = head.get(kind + 1..)?;
    let rest = rest.strip_prefix(&["CONCURRENTLY"]).unwrap_or(rest);
    Some(match *head.get(kind)? {
        "INDEX" => ConcurrentStatement::ReindexIndex(relation_name(rest)?),
        "TABLE" => ConcurrentStatement::ReindexTable(relation_name(rest)?),
        "SCHEMA" => ConcurrentStatement::ReindexSchema((*rest.first()?).to_owned()),
        _ => ConcurrentStatement::ReindexDatabase,
    })
}

fn detach_partition(rest: &[&str]) -> Option<ConcurrentStatement> {
    let rest = rest.strip_prefix(&["IF", "EXISTS"]).unwrap_or(rest);
    let rest = rest.strip_prefix(&["ONLY"]).unwrap_or(rest);
    let table = relation_name(rest)?;
    let ([_, ".", _, rest @ ..] | [_, rest @ ..]) = rest else {
        return None;
    };
    let rest = rest.strip_prefix(&["DETACH", "PARTITION"])?;
    let finalizes = match rest {
        [_, "CONCURRENTLY"] | [_, ".", _, "CONCURRENTLY"] => false,
        [_, "FINALIZE"] | [_, ".", _, "FINALIZE"] => true,
        _ => return None,
    };
    Some(ConcurrentStatement::Removes(Removal::Partition {
        table,
        partition: relation_name(rest)?,
        finalizes,
    }))
}

fn regclass(name: &str) -> String {
    format!("to_regclass('{}')", name.replace('\'', "''"))
}

/// A name with its schema, which is `public` unless the statement names another one.
fn relation_name(tokens: &[&str]) -> Option<String> {
    match tokens {
        [schema, ".", name, ..] => Some(format!("{schema}.{name}")),
        [name, ..] => Some(format!("public.{name}")),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::statements;

    fn create(name: Option<&str>, table: &str, if_not_exists: bool) -> ConcurrentStatement {
        ConcurrentStatement::CreateIndex {
            name: name.map(str::to_owned),
            table: table.to_owned(),
            if_not_exists,
        }
    }

    fn detach(table: &str, partition: &str, finalizes: bool) -> ConcurrentStatement {
        ConcurrentStatement::Removes(Removal::Partition {
            table: table.to_owned(),
            partition: partition.to_owned(),
            finalizes,
        })
    }

    #[test]
    fn the_index_and_its_table_are_read_from_the_statement() {
        for (sql, expected) in [
            (
                "create index concurrently if not exists a_b on a (b)",
                Some(create(Some("A_B"), "public.A", true)),
            ),
            (
                "-- c\nCREATE UNIQUE INDEX /* d */ CONCURRENTLY IF NOT EXISTS \"A b\" ON only s.a (b)",
                Some(create(Some("\"A b\""), "S.A", true)),
            ),
            (
                "create index concurrently a_b on a using btree (b)",
                Some(create(Some("A_B"), "public.A", false)),
            ),
            (
                "create index concurrently on \"A\" (b)",
                Some(create(None, "public.\"A\"", false)),
            ),
            (
                "reindex index concurrently s.a_b",
                Some(ConcurrentStatement::ReindexIndex("S.A_B".to_owned())),
            ),
            (
                "reindex (verbose, concurrently) table a",
                Some(ConcurrentStatement::ReindexTable("public.A".to_owned())),
            ),
            (
                "reindex schema concurrently s",
                Some(ConcurrentStatement::ReindexSchema("S".to_owned())),
            ),
            (
                "reindex database concurrently",
                Some(ConcurrentStatement::ReindexDatabase),
            ),
            ("create index if not exists a_b on a (b)", None),
            ("drop index concurrently if exists a_b", None),
            (
                "drop index concurrently s.a_b cascade",
                Some(ConcurrentStatement::Removes(Removal::Index(
                    "S.A_B".to_owned(),
                ))),
            ),
            (
                "alter table if exists only s.a detach partition \"A 1\" concurrently",
                Some(detach("S.A", "public.\"A 1\"", false)),
            ),
            (
                "alter table a detach partition s.a_1 finalize",
                Some(detach("public.A", "S.A_1", true)),
            ),
            ("alter table a detach partition a_1", None),
            ("alter table a add column b int", None),
            ("reindex table a", None),
        ] {
            let statements = statements::split(sql).expect(sql);
            let head: Vec<&str> = statements[0].head.iter().map(String::as_str).collect();
            assert_eq!(ConcurrentStatement::parse(&head), expected, "{sql}");
        }
    }
}
