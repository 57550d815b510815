//! Expressions, for values that a path cannot describe: JMESPath over a whole profile or customer. Knows no field.
//!
//! JMESPath has neither loops nor definitions, so an expression always ends. The library is by the authors of JMESPath.

use std::rc::Rc;

use jmespath::ast::Ast;
use jmespath::{Context, DEFAULT_RUNTIME, Variable, interpret, parse};
use tandem_sdk::Value;

/// The functions of the language: name, allowed kinds of each argument, and kind of the result. `n` is a number, `s` a
/// text, `b` a boolean, `a` a list, `N` and `S` a list of numbers and of texts, `o` an object, `e` an expression after
/// `&`, `*` anything. The last argument of `merge` and `not_null` may be repeated.
const FUNCTIONS: [(&str, &[&str], &str); 26] = [
    ("abs", &["n"], "n"),
    ("avg", &["N"], "n"),
    ("ceil", &["n"], "n"),
    ("contains", &["sa", "*"], "b"),
    ("ends_with", &["s", "s"], "b"),
    ("floor", &["n"], "n"),
    ("join", &["s", "S"], "s"),
    ("keys", &["o"], "a"),
    ("length", &["sao"], "n"),
    ("map", &["e", "a"], "a"),
    ("max", &["NS"], "*"),
    ("max_by", &["a", "e"], "*"),
    ("merge", &["o"], "o"),
    ("min", &["NS"], "*"),
    ("min_by", &["a", "e"], "*"),
    ("not_null", &["*"], "*"),
    ("reverse", &["sa"], "sa"),
    ("sort", &["NS"], "a"),
    ("sort_by", &["a", "e"], "a"),
    ("starts_with", &["s", "s"], "b"),
    ("sum", &["N"], "n"),
    ("to_array", &["*"], "a"),
    ("to_number", &["*"], "n"),
    ("to_string", &["*"], "s"),
    ("type", &["*"], "s"),
    ("values", &["o"], "a"),
];
const VARIADIC: [&str; 2] = ["merge", "not_null"];
/// Anything longer is a program and not an expression. The parser also recurses once for each parenthesis.
const CHARS_MAX: usize = 2_000;

/// Why a text is not an expression, and the position of the mistake in characters, from 0.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    pub why: String,
    pub at: usize,
}

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Expression(Rc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: String,
    ast: Ast,
    /// The top-level keys of the document that the expression reads.
    roots: Vec<String>,
}

/// The result of an expression for one document.
#[derive(Clone, Debug, PartialEq)]
pub enum Computed {
    /// The value, or the fact that there is none.
    Value(Option<Value>),
    /// The expression yields null because the document does not show this key, so the value is not known.
    Hidden(String),
    /// The expression fails for this document, with JMESPath's reason, so the value is not known.
    Failed(String),
}

impl Expression {
    /// Parses an expression and finds what can never work, whatever the document: unknown functions, and arguments that
    /// a function cannot take. The library itself would notice these only at run time.
    pub fn new(text: &str) -> Result<Self, Wrong> {
        if text.chars().count() > CHARS_MAX {
            return Err(Wrong { why: format!("the expression has more than {CHARS_MAX} characters"), at: CHARS_MAX });
        }
        let ast = parse(text).map_err(|error| Wrong {
            why: format!("not JMESPath: {} at character {}", reason(&error), error.offset + 1),
            at: error.offset,
        })?;
        check(&ast)?;
        let mut roots = vec![];
        find_roots(&ast, &mut roots);
        Ok(Self(Rc::new(Parsed { text: text.to_owned(), ast, roots })))
    }

    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The top-level keys of the document that the expression reads.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        self.0.roots.iter().map(String::as_str)
    }

    pub fn of(&self, document: &Value) -> Computed {
        let Parsed { text, ast, roots } = &*self.0;
        match interpret(&variable(document), ast, &mut Context::new(text, &DEFAULT_RUNTIME)) {
            Err(error) => {
                Computed::Failed(format!("`{text}` fails: {} (character {})", reason(&error), error.offset + 1))
            }
            Ok(found) => match value(&found) {
                Value::Null => match roots.iter().find(|root| document.get(root.as_str()).is_none()) {
                    Some(root) => Computed::Hidden(root.clone()),
                    None => Computed::Value(None),
                },
                found => Computed::Value(Some(found)),
            },
        }
    }
}

/// Finds the keys of the document itself, and not those of the result of a projection or a sub-expression.
fn find_roots(ast: &Ast, found: &mut Vec<String>) {
    match ast {
        Ast::Field { name, .. } => {
            if !found.contains(name) {
                found.push(name.clone());
            }
        }
        Ast::Subexpr { lhs, rhs, .. } => {
            find_roots(lhs, found);
            if matches!(**lhs, Ast::Identity { .. }) {
                find_roots(rhs, found);
            }
        }
        Ast::Projection { lhs, .. } => find_roots(lhs, found),
        Ast::Comparison { lhs, rhs, .. } | Ast::And { lhs, rhs, .. } | Ast::Or { lhs, rhs, .. } => {
            find_roots(lhs, found);
            find_roots(rhs, found);
        }
        Ast::Function { args, .. } => args.iter().for_each(|arg| find_roots(arg, found)),
        Ast::Flatten { node, .. } | Ast::Not { node, .. } | Ast::ObjectValues { node, .. } => find_roots(node, found),
        Ast::MultiList { elements, .. } => elements.iter().for_each(|one| find_roots(one, found)),
        Ast::MultiHash { elements, .. } => elements.iter().for_each(|pair| find_roots(&pair.value, found)),
        Ast::Condition { .. }
        | Ast::Expref { .. }
        | Ast::Identity { .. }
        | Ast::Index { .. }
        | Ast::Literal { .. }
        | Ast::Slice { .. } => {}
    }
}

/// Converts JSON by hand, because the library's own conversion takes an exactly kept number for an object.
fn variable(value: &Value) -> Rc<Variable> {
    Rc::new(match value {
        Value::Null => Variable::Null,
        Value::Bool(value) => Variable::Bool(*value),
        Value::Number(number) => Variable::Number(number.clone()),
        Value::String(text) => Variable::String(text.clone()),
        Value::Array(members) => Variable::Array(members.iter().map(variable).collect()),
        Value::Object(members) => {
            Variable::Object(members.iter().map(|(key, value)| (key.clone(), variable(value))).collect())
        }
    })
}

fn value(variable: &Variable) -> Value {
    match variable {
        Variable::Null | Variable::Expref(_) => Value::Null,
        Variable::Bool(value) => Value::Bool(*value),
        Variable::Number(number) => Value::Number(number.clone()),
        Variable::String(text) => Value::String(text.clone()),
        Variable::Array(members) => Value::Array(members.iter().map(|member| value(member)).collect()),
        Variable::Object(members) => members.iter().map(|(key, member)| (key.clone(), value(member))).collect(),
    }
}

fn reason(error: &jmespath::JmespathError) -> String {
    match &error.reason {
        // The library's message begins with the grammar rule that failed. Only what was found is shown.
        jmespath::ErrorReason::Parse(why) => match why.split_once(" -- found ") {
            Some((_, "Eof")) => "it ends too early".to_owned(),
            Some((_, found)) => format!("unexpected {found}"),
            None => why.clone(),
        },
        jmespath::ErrorReason::Runtime(why) => why.to_string(),
    }
}

fn check(ast: &Ast) -> Result<(), Wrong> {
    match ast {
        Ast::Function { name, args, offset } => {
            // The library gives the offset of the bracket after the name.
            let (at, n) = (offset.saturating_sub(name.chars().count()), *offset + 1);
            let Some((_, takes, _)) = FUNCTIONS.iter().find(|(known, ..)| *known == name.as_str()) else {
                return Err(Wrong { why: format!("there is no function `{name}` (character {n})"), at });
            };
            let is_variadic = VARIADIC.contains(&name.as_str());
            if args.len() < takes.len() || (args.len() > takes.len() && !is_variadic) {
                return Err(Wrong {
                    why: format!("`{name}` takes {} arguments, not {} (character {n})", takes.len(), args.len()),
                    at,
                });
            }
            for (which, arg) in args.iter().enumerate() {
                let wanted = takes[which.min(takes.len() - 1)];
                if let Some(kind) = kind(arg).filter(|kind| !fits(wanted, kind, arg)) {
                    let (wanted, kind) = (words(wanted), words(&kind));
                    return Err(Wrong {
                        why: format!("argument {} of `{name}` is {wanted}, never {kind} (character {n})", which + 1),
                        at,
                    });
                }
            }
            args.iter().try_for_each(check)
        }
        Ast::Comparison { lhs, rhs, .. }
        | Ast::And { lhs, rhs, .. }
        | Ast::Or { lhs, rhs, .. }
        | Ast::Subexpr { lhs, rhs, .. }
        | Ast::Projection { lhs, rhs, .. } => check(lhs).and_then(|()| check(rhs)),
        Ast::Condition { predicate, then, .. } => check(predicate).and_then(|()| check(then)),
        Ast::Expref { ast: node, .. }
        | Ast::Flatten { node, .. }
        | Ast::Not { node, .. }
        | Ast::ObjectValues { node, .. } => check(node),
        Ast::MultiList { elements, .. } => elements.iter().try_for_each(check),
        Ast::MultiHash { elements, .. } => elements.iter().try_for_each(|pair| check(&pair.value)),
        Ast::Identity { .. } | Ast::Field { .. } | Ast::Index { .. } | Ast::Literal { .. } | Ast::Slice { .. } => {
            Ok(())
        }
    }
}

/// The kind of an expression's result, if it is the same for every document.
fn kind(ast: &Ast) -> Option<String> {
    let kind = match ast {
        Ast::Literal { value, .. } => match &**value {
            Variable::Null => "0",
            Variable::Bool(_) => "b",
            Variable::Number(_) => "n",
            Variable::String(_) => "s",
            Variable::Array(_) => "a",
            Variable::Object(_) => "o",
            Variable::Expref(_) => "e",
        },
        Ast::Expref { .. } => "e",
        Ast::Not { .. } => "b",
        Ast::MultiList { .. } => "a",
        Ast::MultiHash { .. } => "o",
        Ast::Function { name, .. } => FUNCTIONS.iter().find(|(known, ..)| known == name)?.2,
        _ => return None,
    };
    (kind != "*").then(|| kind.to_owned())
}

/// Whether an argument of this kind can be of the wanted kind. The members of a literal list are checked too.
fn fits(wanted: &str, kind: &str, arg: &Ast) -> bool {
    let members = |of: fn(&Variable) -> bool| match arg {
        Ast::Literal { value, .. } => value.as_array().is_none_or(|list| list.iter().all(|member| of(member))),
        _ => true,
    };
    wanted.chars().any(|wanted| match wanted {
        '*' => kind != "e",
        'N' => kind.contains('a') && members(Variable::is_number),
        'S' => kind.contains('a') && members(Variable::is_string),
        wanted => kind.contains(wanted),
    })
}

fn words(kinds: &str) -> String {
    let word = |kind| match kind {
        'n' => "a number",
        's' => "a text",
        'b' => "true or false",
        'a' => "a list",
        'N' => "a list of numbers",
        'S' => "a list of texts",
        'o' => "an object",
        'e' => "an expression after `&`",
        '0' => "null",
        _ => "a value",
    };
    kinds.chars().map(word).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::json;

    fn of(text: &str, document: Value) -> Computed {
        Expression::new(text).unwrap().of(&document)
    }

    fn found(value: Value) -> Computed {
        Computed::Value(Some(value))
    }

    #[test]
    fn it_says_what_a_path_cannot() {
        let greeting = "join(' ', ['Hi', first_name || 'you', to_string(point_balance)])";
        assert_eq!(of(greeting, json!({"first_name": "Ada", "point_balance": 120})), found(json!("Hi Ada 120")));
        let tier = "tier.handle == 'gold' && 'yes' || 'no'";
        assert_eq!(of(tier, json!({"tier": {"handle": "gold"}})), found(json!("yes")));
        let many = "point_balance > `100` && 'many' || `[7]`";
        assert_eq!(of(many, json!({"point_balance": 120})), found(json!("many")));
        assert_eq!(of(many, json!({"point_balance": 20})), found(json!([7])));
    }

    #[test]
    fn none_is_told_from_not_shown_and_from_not_worked_out() {
        assert_eq!(of("tier.name", json!({"tier": null})), Computed::Value(None));
        assert_eq!(of("tier.name", json!({"first_name": "Ada"})), Computed::Hidden("tier".into()));
        assert_eq!(of("frist_name || 'you'", json!({"first_name": "Ada"})), found(json!("you")));
        assert_eq!(of("tags[?@ == 'vip'] | [0]", json!({"tags": ["x"]})), Computed::Value(None));
        for (text, document, why) in [
            ("abs(first_name)", json!({"first_name": "Ada"}), "Argument 0 expects type number, given string"),
            ("length(first_name)", json!({"first_name": 3}), "given number"),
            ("sum(a)", json!({"a": ["x"]}), "given array"),
        ] {
            match of(text, document) {
                Computed::Failed(said) => {
                    assert!(said.contains(why) && said.starts_with(&format!("`{text}` fails")), "{said}")
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_keys_that_it_reads_are_those_of_the_document() {
        let roots = |text: &str| Expression::new(text).unwrap().roots().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(roots("addresses[?city == 'Perth'].name | [0]"), ["addresses"]);
        assert_eq!(roots("join(' ', [first_name, tier.name || @.region])"), ["first_name", "tier", "region"]);
        assert_eq!(roots("map(&name, to_array(tier))"), ["tier"]);
        assert_eq!(roots("'always'"), Vec::<String>::new());
    }

    #[test]
    fn what_no_document_can_mend_is_refused() {
        for (text, why) in [
            ("abs('x')", "argument 1 of `abs` is a number, never a text (character 4)"),
            ("abs(to_string(points))", "argument 1 of `abs` is a number, never a text (character 4)"),
            ("join(`1`, tags)", "argument 1 of `join` is a text, never a number (character 5)"),
            ("sum(`[\"a\"]`)", "argument 1 of `sum` is a list of numbers, never a list (character 4)"),
            ("map(tags, tags)", ""),
            ("sort_by(tags, 'x')", "argument 2 of `sort_by` is an expression after `&`, never a text (character 8)"),
            (
                "length(!a)",
                "argument 1 of `length` is a text or a list or an object, never true or false (character 7)",
            ),
            ("merge({a: b}, 'x')", "argument 2 of `merge` is an object, never a text (character 6)"),
        ] {
            assert_eq!(Expression::new(text).err().map(|wrong| wrong.why).unwrap_or_default(), why, "{text}");
        }
    }

    #[test]
    fn a_long_number_stays_exact() {
        let id: Value = serde_json::from_str(r#"{"id":706405506930370084}"#).unwrap();
        assert_eq!(of("id", id), found(serde_json::from_str("706405506930370084").unwrap()));
    }

    #[test]
    fn what_cannot_run_is_found_at_once() {
        let wrong = |text: &str| Expression::new(text).err().map(|wrong| (wrong.why, wrong.at)).unwrap_or_default();
        assert!(wrong("first_name |").0.starts_with("not JMESPath"), "{:?}", wrong("first_name |"));
        assert_eq!(wrong("a || upper(first_name)"), ("there is no function `upper` (character 11)".to_owned(), 5));
        assert_eq!(wrong("[{a: join(',')}]"), ("`join` takes 2 arguments, not 1 (character 10)".to_owned(), 5));
        assert!(wrong(&"(".repeat(5_000)).0.contains("more than 2000 characters"));
        assert!(!wrong(&"(".repeat(1_900)).0.is_empty());
    }
}
