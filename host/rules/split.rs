//! Takes the code out of a component, so that all that were frozen of one base share it: what is left is what each begins
//! with, its memory and globals.
//!
//! The code becomes a module that imports memory and globals; what is left of the component imports that module, defines
//! memory and globals in one of its own, and puts the two together. Fuel, limits and answers are those of the whole. Knows
//! how both are encoded; not what is done with them.

use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, RoundtripReencoder, component_utils};
use wasm_encoder::{
    Component, ComponentAliasSection, ComponentImportSection, ComponentTypeRef, ConstExpr, CoreTypeSection,
    DataSection, EntityType, ExportKind, ExportSection, GlobalSection, ImportSection, InstanceSection, MemorySection,
    MemoryType, Module, ModuleArg, ModuleSection, ModuleType, RawSection,
};
use wasmparser::{Instance, Parser, Payload, TypeRef};

/// What the component imports the code by.
pub const CODE: &str = "code";
/// What the code imports memory and globals by.
const FROZEN: &str = "frozen";
const MEMORY: &str = "memory";

/// A component in two.
pub struct Split {
    /// A core module, the same for all of one base.
    pub code: Vec<u8>,
    /// A component that imports it.
    pub rest: Vec<u8>,
}

/// `None` for a component that is not made like those of the SDK: there it stays whole.
pub fn split(component: &[u8]) -> Option<Split> {
    let main = main_module(component)?;
    let parts = Parts::read(main.bytes)?;
    let code = parts.code()?;
    let rest = parts.around(component, main.index)?;
    // What is wrong with either is found here, and not by whoever compiles it.
    wasmparser::validate(&code).ok()?;
    wasmparser::validate(&rest).ok()?;
    Some(Split { code, rest })
}

struct Main<'a> {
    index: u32,
    bytes: &'a [u8],
}

/// The longest module of a component, if all its modules and instances of them are its own, and it has no types of core
/// modules. Components inside may say what is exported how.
fn main_module(component: &[u8]) -> Option<Main<'_>> {
    let mut found: Option<Main> = None;
    let (mut depth, mut index) = (0, 0);
    for payload in Parser::new(0).parse_all(component) {
        match payload.ok()? {
            Payload::CoreTypeSection(_) => return None,
            Payload::ModuleSection { .. } | Payload::InstanceSection(_) if depth > 0 => return None,
            Payload::ComponentSection { .. } => depth += 1,
            Payload::ModuleSection { unchecked_range, .. } => {
                let bytes = component.get(unchecked_range)?;
                if found.as_ref().is_none_or(|found| found.bytes.len() < bytes.len()) {
                    found = Some(Main { index, bytes });
                }
                (index, depth) = (index + 1, depth + 1);
            }
            Payload::End(_) => depth -= 1,
            _ => {}
        }
    }
    found
}

/// The module in its parts.
struct Parts<'a> {
    /// Sections of the code, as they stand: number and bytes.
    sections: Vec<(u8, &'a [u8])>,
    types: Vec<wasmparser::FuncType>,
    imports: Vec<wasmparser::Import<'a>>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    tables: Vec<wasmparser::TableType>,
    memory: wasmparser::MemoryType,
    globals: Vec<wasmparser::Global<'a>>,
    exports: Vec<wasmparser::Export<'a>>,
    data: Vec<wasmparser::Data<'a>>,
}

impl<'a> Parts<'a> {
    fn read(module: &'a [u8]) -> Option<Self> {
        let mut memory = None;
        let (mut sections, mut types, mut imports, mut functions) = (vec![], vec![], vec![], vec![]);
        let (mut tables, mut globals, mut exports, mut data) = (vec![], vec![], vec![], vec![]);
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload.ok()?;
            match &payload {
                Payload::TypeSection(reader) => {
                    types = reader.clone().into_iter_err_on_gc_types().collect::<Result<_, _>>().ok()?;
                }
                Payload::ImportSection(reader) => {
                    imports = reader.clone().into_imports().collect::<Result<Vec<_>, _>>().ok()?;
                    for import in &imports {
                        // Nothing but functions, so that the numbers of all else stay as they are.
                        let TypeRef::Func(kind) = import.ty else { return None };
                        functions.push(kind);
                    }
                    continue;
                }
                Payload::FunctionSection(reader) => {
                    for kind in reader.clone() {
                        functions.push(kind.ok()?);
                    }
                }
                Payload::TableSection(reader) => {
                    for table in reader.clone() {
                        tables.push(table.ok()?.ty);
                    }
                }
                Payload::MemorySection(reader) => {
                    let mut memories = reader.clone().into_iter();
                    memory = Some(memories.next()?.ok()?);
                    if memories.next().is_some() {
                        return None;
                    }
                    continue;
                }
                Payload::GlobalSection(reader) => {
                    globals = reader.clone().into_iter().collect::<Result<_, _>>().ok()?;
                    continue;
                }
                Payload::ExportSection(reader) => {
                    exports = reader.clone().into_iter().collect::<Result<_, _>>().ok()?;
                }
                Payload::DataSection(reader) => {
                    data = reader.clone().into_iter().collect::<Result<_, _>>().ok()?;
                    continue;
                }
                Payload::StartSection { .. } | Payload::TagSection(_) => return None,
                Payload::DataCountSection { .. } | Payload::CustomSection(_) => continue,
                _ => {}
            }
            if let Some((number, range)) = payload.as_section() {
                sections.push((number, module.get(range)?));
            }
        }
        Some(Self { sections, types, imports, functions, tables, memory: memory?, globals, exports, data })
    }

    /// The module with memory and globals imported.
    fn code(&self) -> Option<Vec<u8>> {
        let mut imports = ImportSection::new();
        for import in &self.imports {
            imports.import(import.module, import.name, RoundtripReencoder.entity_type(import.ty).ok()?);
        }
        imports.import(FROZEN, MEMORY, any_memory());
        for (n, global) in self.globals.iter().enumerate() {
            imports.import(FROZEN, &n.to_string(), RoundtripReencoder.global_type(global.ty).ok()?);
        }
        let mut module = Module::new();
        let mut imports = Some(imports);
        for (number, bytes) in &self.sections {
            // Types are before imports, all else is behind them.
            if *number != TYPES
                && let Some(imports) = imports.take()
            {
                module.section(&imports);
            }
            module.section(&RawSection { id: *number, data: bytes });
        }
        Some(module.finish())
    }

    /// Memory and globals as they are at the beginning.
    fn frozen(&self) -> Option<Module> {
        let (mut memories, mut globals, mut exports) =
            (MemorySection::new(), GlobalSection::new(), ExportSection::new());
        memories.memory(RoundtripReencoder.memory_type(self.memory).ok()?);
        exports.export(MEMORY, ExportKind::Memory, 0);
        for (n, global) in self.globals.iter().enumerate() {
            let kind = RoundtripReencoder.global_type(global.ty).ok()?;
            globals.global(kind, &constant(&global.init_expr)?);
            exports.export(&n.to_string(), ExportKind::Global, u32::try_from(n).ok()?);
        }
        let mut data = DataSection::new();
        for segment in &self.data {
            match &segment.kind {
                wasmparser::DataKind::Active { memory_index: 0, offset_expr } => {
                    data.active(0, &constant(offset_expr)?, segment.data.iter().copied());
                }
                wasmparser::DataKind::Active { .. } => return None,
                // Only code could use it, and that is valid without.
                wasmparser::DataKind::Passive => {}
            }
        }
        let mut module = Module::new();
        module.section(&memories).section(&globals).section(&exports).section(&data);
        Some(module)
    }

    /// The type of the code.
    fn kind(&self) -> Option<ModuleType> {
        let mut kind = ModuleType::new();
        for ty in &self.types {
            let func = RoundtripReencoder.func_type(ty.clone()).ok()?;
            kind.ty().func_type(&func);
        }
        for import in &self.imports {
            kind.import(import.module, import.name, RoundtripReencoder.entity_type(import.ty).ok()?);
        }
        kind.import(FROZEN, MEMORY, EntityType::Memory(any_memory()));
        for (n, global) in self.globals.iter().enumerate() {
            let of_global = RoundtripReencoder.global_type(global.ty).ok()?;
            kind.import(FROZEN, &n.to_string(), EntityType::Global(of_global));
        }
        for export in &self.exports {
            let index = usize::try_from(export.index).ok()?;
            let ty = match export.kind {
                wasmparser::ExternalKind::Func => EntityType::Function(*self.functions.get(index)?),
                wasmparser::ExternalKind::Memory => EntityType::Memory(any_memory()),
                wasmparser::ExternalKind::Table => {
                    EntityType::Table(RoundtripReencoder.table_type(*self.tables.get(index)?).ok()?)
                }
                wasmparser::ExternalKind::Global => {
                    EntityType::Global(RoundtripReencoder.global_type(self.globals.get(index)?.ty).ok()?)
                }
                _ => return None,
            };
            kind.export(export.name, ty);
        }
        Some(kind)
    }

    /// The component with the code imported in place of the module of this number.
    fn around(&self, component: &[u8], main: u32) -> Option<Vec<u8>> {
        let mut made = Component::new();
        let (mut types, mut imports) = (CoreTypeSection::new(), ComponentImportSection::new());
        types.ty().module(&self.kind()?);
        imports.import(CODE, ComponentTypeRef::Module(0));
        let mut instances = InstanceSection::new();
        instances.instantiate::<_, &str>(1, []);
        made.section(&types).section(&imports);
        made.section(&ModuleSection(&self.frozen()?)).section(&instances);
        let mut shifted = Shifted { main };
        let mut modules = 0;
        let mut inside = 0;
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.ok()?;
            match &payload {
                Payload::End(_) if inside > 0 => inside -= 1,
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } if inside > 0 => inside += 1,
                _ if inside > 0 => {}
                Payload::ModuleSection { unchecked_range, .. } => {
                    if modules != main {
                        made.section(&RawSection { id: CORE_MODULE, data: component.get(unchecked_range.clone())? });
                    }
                    (modules, inside) = (modules + 1, inside + 1);
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    made.section(&RawSection { id: COMPONENT, data: component.get(unchecked_range.clone())? });
                    inside += 1;
                }
                Payload::InstanceSection(reader) => {
                    let mut instances = InstanceSection::new();
                    for instance in reader.clone() {
                        shifted.instance(&mut instances, instance.ok()?).ok()?;
                    }
                    made.section(&instances);
                }
                Payload::ComponentAliasSection(reader) => {
                    let mut aliases = ComponentAliasSection::new();
                    component_utils::parse_component_alias_section(&mut shifted, &mut aliases, reader.clone()).ok()?;
                    made.section(&aliases);
                }
                // Where it came from does not matter to who runs it.
                Payload::CustomSection(_) => {}
                payload => {
                    if let Some((id, range)) = payload.as_section() {
                        made.section(&RawSection { id, data: component.get(range)? });
                    }
                }
            }
        }
        Some(made.finish())
    }
}

/// Sections by their numbers: types of a module; a module and a component in a component.
const TYPES: u8 = 1;
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// The code works with whatever it is given.
fn any_memory() -> MemoryType {
    MemoryType { minimum: 0, maximum: None, memory64: false, shared: false, page_size_log2: None }
}

/// An expression that depends on nothing.
fn constant(expression: &wasmparser::ConstExpr) -> Option<ConstExpr> {
    use wasmparser::Operator;
    let mut operators = expression.get_operators_reader().into_iter();
    let is_constant = matches!(
        operators.next()?.ok()?,
        Operator::I32Const { .. } | Operator::I64Const { .. } | Operator::F32Const { .. } | Operator::F64Const { .. }
    );
    let ends = matches!(operators.next()?.ok()?, Operator::End);
    (is_constant && ends).then(|| RoundtripReencoder.const_expr(expression.clone()).ok()).flatten()
}

/// Numbers of modules and instances behind what is put before them: the code, which takes the place of the main module, and
/// memory and globals with their instance.
struct Shifted {
    main: u32,
}

impl Reencode for Shifted {
    type Error = std::convert::Infallible;
}

impl ReencodeComponent for Shifted {
    fn module_index(&mut self, module: u32) -> u32 {
        match module.cmp(&self.main) {
            std::cmp::Ordering::Less => module + 2,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => module + 1,
        }
    }

    fn instance_index(&mut self, instance: u32) -> u32 {
        instance + 1
    }
}

impl Shifted {
    /// The main module is given memory and globals besides.
    fn instance(
        &mut self,
        instances: &mut InstanceSection,
        instance: Instance,
    ) -> Result<(), Error<std::convert::Infallible>> {
        match instance {
            Instance::Instantiate { module_index, args } if module_index == self.main => {
                let given = args.iter().map(|arg| (arg.name, ModuleArg::Instance(self.instance_index(arg.index))));
                let given: Vec<_> = given.chain([(FROZEN, ModuleArg::Instance(0))]).collect();
                instances.instantiate(0, given);
                Ok(())
            }
            instance => component_utils::parse_instance(self, instances, instance),
        }
    }
}
