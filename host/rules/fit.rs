//! Whether a host would take a component, before anything of it runs: what it is large in, and what it would have the host
//! keep for it. The same for all who build, test, deploy and serve it.
//!
//! Knows the limits of a slot; what a component may import is checked where that is linked.

use anyhow::{anyhow, bail};
use wasmparser::{CanonicalFunction, Encoding, Instance, Parser, Payload};

use crate::engine::{MEMORIES_MAX, MEMORY_BYTES_MAX, PARTS_MAX, TABLE_ELEMENTS_MAX};

/// Longest component that is taken: ten times the default rules.
pub const COMPONENT_BYTES_MAX: usize = 16 << 20;
/// Bytes of a page of memory.
const PAGE_BYTES: u64 = 64 << 10;

/// A module or component that is being read.
#[derive(Default)]
struct Part {
    is_module: bool,
    /// Of a module.
    brings: Brings,
    /// Of a component.
    modules: Vec<Brings>,
}

/// What a module brings along.
#[derive(Clone, Copy, Default)]
struct Brings {
    memories: u32,
    tables: u32,
    /// Of its largest memory and table, at the beginning.
    pages: u64,
    elements: u64,
}

/// Refuses what a slot of the pool has no room for, and what no limit of an ask would see.
pub fn check(component: &[u8]) -> anyhow::Result<()> {
    if component.len() > COMPONENT_BYTES_MAX {
        bail!(
            "the component has {} bytes; {COMPONENT_BYTES_MAX} are allowed\nhint: leave out data and libraries that it does not need, and optimise it for size",
            component.len()
        );
    }
    let (mut instances, mut all, mut inside) = (0, Brings::default(), Vec::<Part>::new());
    for payload in Parser::new(0).parse_all(component) {
        // Whoever compiles it says what is wrong with it.
        let Ok(payload) = payload else { return Ok(()) };
        match payload {
            Payload::Version { encoding, .. } => {
                inside.push(Part { is_module: encoding == Encoding::Module, ..Part::default() });
            }
            Payload::End(_) => {
                if let (Some(ended), Some(around)) = (inside.pop(), inside.last_mut())
                    && ended.is_module
                {
                    around.modules.push(ended.brings);
                }
            }
            Payload::InstanceSection(reader) => {
                for instance in reader.into_iter().flatten() {
                    let Instance::Instantiate { module_index, .. } = instance else { continue };
                    let modules = inside.last().map(|part| &part.modules);
                    let module = modules.and_then(|modules| modules.get(usize::try_from(module_index).ok()?));
                    instances += 1;
                    all.add(module.copied().unwrap_or_default());
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                if functions.into_iter().flatten().any(|made| matches!(made, CanonicalFunction::ResourceNew { .. })) {
                    bail!(
                        "the component makes resources, which the host would have to keep for it, without a limit\nhint: keep objects inside the component: rules are given and give plain values"
                    );
                }
            }
            payload => {
                if let Some(module) = inside.last_mut() {
                    module.brings.read(payload);
                }
            }
        }
    }
    all.too_much(instances).map_or(Ok(()), |more| Err(no_room(&more)))
}

impl Brings {
    /// Of a section of the module.
    fn read(&mut self, section: Payload) {
        match section {
            Payload::MemorySection(memories) => {
                for memory in memories.into_iter().flatten() {
                    self.memories += 1;
                    self.pages = self.pages.max(memory.initial);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.into_iter().flatten() {
                    self.tables += 1;
                    self.elements = self.elements.max(table.ty.initial);
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, module: Self) {
        self.memories = self.memories.saturating_add(module.memories);
        self.tables = self.tables.saturating_add(module.tables);
        self.pages = self.pages.max(module.pages);
        self.elements = self.elements.max(module.elements);
    }

    /// What is more than a slot has, with so many instances.
    fn too_much(&self, instances: u32) -> Option<String> {
        if instances > PARTS_MAX {
            Some(format!("has more than {PARTS_MAX} core instances"))
        } else if self.memories > MEMORIES_MAX {
            Some(format!("has more than {MEMORIES_MAX} memories"))
        } else if self.tables > PARTS_MAX {
            Some(format!("has more than {PARTS_MAX} tables"))
        } else if self.pages > (MEMORY_BYTES_MAX as u64) / PAGE_BYTES {
            Some(format!("begins with a memory of more than {} MiB", MEMORY_BYTES_MAX >> 20))
        } else if self.elements > TABLE_ELEMENTS_MAX as u64 {
            Some(format!("begins with a table of more than {TABLE_ELEMENTS_MAX} elements"))
        } else {
            None
        }
    }
}

/// Why wasmtime did not compile it. What its pool has no room for was not seen before if parts are made of parts.
pub fn refused(error: &wasmtime::Error) -> anyhow::Error {
    let is_pool = |said: &dyn std::fmt::Display| said.to_string().contains("pooling allocator");
    if error.chain().any(|cause| is_pool(&cause)) {
        return no_room("has more core instances, memories, tables, functions or globals than a host keeps room for");
    }
    anyhow!(
        "the component is not valid here: {}\nhint: it may have been cut off, or built for another target than wasm32-unknown-unknown",
        error.root_cause()
    )
}

fn no_room(more: &str) -> anyhow::Error {
    anyhow!(
        "the component {more}: no host would take it\nhint: it brings along more of a language than rules need; plugins in Rust and JavaScript fit (`tandem new`)"
    )
}
