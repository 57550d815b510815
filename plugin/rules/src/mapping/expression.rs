//! Expressions, for what a path cannot say: JMESPath over a whole profile or customer. Knows no field.
//!
//! JMESPath has neither loops nor definitions, so an expression always ends; the library is that of its authors.

use std::rc::Rc;

use jmespath::ast::Ast;
use jmespath::{Context, DEFAULT_RUNTIME, Variable, interpret, parse};
use tandem_sdk::Value;

/// What the language knows by name, with the fewest and the most arguments.
const FUNCTIONS: [(&str, usize, usize); 26] = [
    ("abs", 1, 1),
    ("avg", 1, 1),
    ("ceil", 1, 1),
    ("contains", 2, 2),
    ("ends_with", 2, 2),
    ("floor", 1, 1),
    ("join", 2, 2),
    ("keys", 1, 1),
    ("length", 1, 1),
    ("map", 2, 2),
    ("max", 1, 1),
    ("max_by", 2, 2),
    ("merge", 1, usize::MAX),
    ("min", 1, 1),
    ("min_by", 2, 2),
    ("not_null", 1, usize::MAX),
    ("reverse", 1, 1),
    ("sort", 1, 1),
    ("sort_by", 2, 2),
    ("starts_with", 2, 2),
    ("sum", 1, 1),
    ("to_array", 1, 1),
    ("to_number", 1, 1),
    ("to_string", 1, 1),
    ("type", 1, 1),
    ("values", 1, 1),
];
/// Longer ones are programs, not expressions; and the parser goes down once for each parenthesis.
const CHARS_MAX: usize = 2_000;

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Expression(Rc<(String, Ast)>);

impl Expression {
    /// Parses it, and finds every function that there is not: the language itself would notice only when it runs.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.chars().count() > CHARS_MAX {
            return Err(format!("the expression has more than {CHARS_MAX} characters"));
        }
        let ast = parse(text)
            .map_err(|error| format!("not JMESPath: {} at character {}", reason(&error), error.offset + 1))?;
        check(&ast)?;
        Ok(Self(Rc::new((text.to_owned(), ast))))
    }

    pub fn text(&self) -> &str {
        &self.0.0
    }

    /// What it makes of a document; nothing where it comes to null, or cannot be worked out of this one.
    pub fn of(&self, document: &Value) -> Option<Value> {
        let (text, ast) = &*self.0;
        let found = interpret(&variable(document), ast, &mut Context::new(text, &DEFAULT_RUNTIME)).ok()?;
        Some(value(&found)).filter(|value| !value.is_null())
    }
}

/// The library's own way from JSON takes a number that is kept exactly for an object.
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
        // Its parser says by which of its rules something was found; what was found is enough.
        jmespath::ErrorReason::Parse(why) => match why.split_once(" -- found ") {
            Some((_, "Eof")) => "it ends too early".to_owned(),
            Some((_, found)) => format!("unexpected {found}"),
            None => why.clone(),
        },
        jmespath::ErrorReason::Runtime(why) => why.to_string(),
    }
}

fn check(ast: &Ast) -> Result<(), String> {
    match ast {
        Ast::Function { name, args, offset } => {
            let at = *offset + 1;
            let known = FUNCTIONS.iter().find(|(known, ..)| *known == name.as_str());
            match known {
                None => return Err(format!("there is no function `{name}` (character {at})")),
                Some((_, least, most)) if args.len() < *least || args.len() > *most => {
                    return Err(format!("`{name}` takes {least} arguments, not {} (character {at})", args.len()));
                }
                Some(_) => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_sdk::json;

    #[test]
    fn it_says_what_a_path_cannot() {
        let greeting = Expression::new("join(' ', ['Hi', first_name || 'you', to_string(point_balance)])").unwrap();
        assert_eq!(greeting.of(&json!({"first_name": "Ada", "point_balance": 120})), Some(json!("Hi Ada 120")));
        let tier = Expression::new("tier.handle == 'gold' && 'yes' || 'no'").unwrap();
        assert_eq!(tier.of(&json!({"tier": {"handle": "gold"}})), Some(json!("yes")));
        let many = Expression::new("point_balance > `100` && 'many' || `[7]`").unwrap();
        assert_eq!(many.of(&json!({"point_balance": 120})), Some(json!("many")));
        assert_eq!(many.of(&json!({"point_balance": 20})), Some(json!([7])));
        assert_eq!(Expression::new("tier.name").unwrap().of(&json!({"tier": null})), None);
    }

    #[test]
    fn a_long_number_stays_exact() {
        let id: Value = serde_json::from_str(r#"{"id":706405506930370084}"#).unwrap();
        assert_eq!(Expression::new("id").unwrap().of(&id).unwrap().to_string(), "706405506930370084");
    }

    #[test]
    fn what_cannot_run_is_found_at_once() {
        let wrong = |text: &str| Expression::new(text).err().unwrap_or_default();
        assert!(wrong("first_name |").starts_with("not JMESPath"), "{}", wrong("first_name |"));
        assert_eq!(wrong("a || upper(first_name)"), "there is no function `upper` (character 11)");
        assert_eq!(wrong("[{a: join(',')}]"), "`join` takes 2 arguments, not 1 (character 10)");
        assert!(wrong(&"(".repeat(5_000)).contains("more than 2000 characters"));
        assert!(!wrong(&"(".repeat(1_900)).is_empty());
    }

    #[test]
    fn what_a_document_does_not_allow_is_nothing() {
        assert_eq!(Expression::new("length(first_name)").unwrap().of(&json!({"first_name": 3})), None);
        assert_eq!(Expression::new("sum(a)").unwrap().of(&json!({"a": ["x"]})), None);
    }
}
