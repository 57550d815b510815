//! The wasmtime engine: one configuration for building, checking and running components, and the limits of an ask.
//!
//! Knows what a component may use up; nothing of what it says.

use std::path::Path;
use std::time::Duration;

pub use wasmtime::Engine;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, OperatorCost, OptLevel, PoolingAllocationConfig,
    RegallocAlgorithm, ResourceLimiter, Store, StoreContextMut, Trap, VariableOperatorCost, WasmFeatures,
};

mod watch;

pub use watch::{Ended, StillWanted, Wanted, Watch};

/// Fuel of an ask, about one unit an instruction: a base for any payload, and more for each byte that goes in. Default
/// rules were measured at about 65 units a byte.
const FUEL_BASE: u64 = 50_000_000;
const FUEL_PER_BYTE: u64 = 1_000;
/// Processor time of an ask, twenty times what its fuel takes. It bounds what fuel does not count, above all texts that
/// a component copies between its own parts.
const TIME_BASE: Duration = Duration::from_millis(500);
const TIME_PER_BYTE: Duration = Duration::from_micros(2);
/// Fuel between two checks of an ask's time: a twentieth of a millisecond.
const SLICE_FUEL: u64 = 100_000;
/// The same for a component of several parts. These may copy as much text to each other as memory holds, for hardly any
/// fuel. So the first number is for the least memory of an ask; with more memory there is less fuel between checks, but
/// never less than the second number.
const SLICE_FUEL_OF_PARTS: u64 = 10_000;
const SLICE_FUEL_OF_PARTS_MIN: u64 = 500;
/// Fuel of a line of log, and of each of its bytes, whether they are kept or not.
const LOG_FUEL: u64 = 300;
const LOG_FUEL_PER_BYTE: u64 = 1;
/// Fuel of an operator that goes into the host to grow something: 112 ns were measured, and 144 when that is refused.
const GROW_FUEL: u8 = 200;
/// Memory of an ask, in bytes: a base for any payload, and more for each byte that goes in. About 5 for each byte were
/// measured.
const MEMORY_BASE: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 24;
/// The most memory of any ask, and the size of a slot in the pool.
pub const MEMORY_BYTES_MAX: usize = 256 << 20;
/// Bytes that a component may hand over in one ask: a base, and more for each byte that goes in.
const OUTPUT_BASE: usize = 1 << 20;
const OUTPUT_PER_BYTE: usize = 4;
/// Bytes of log kept of an ask, line ends included.
pub const LOG_BYTES_MAX: usize = 16 << 10;
/// Bytes kept of the last line of a log, which may be what a panic said after the log was full.
const LAST_LINE_BYTES_MAX: usize = 1 << 10;
/// Instances at one time. A semaphore before the pool makes the next one wait.
pub const INSTANCES_MAX: u32 = 64;
/// Core instances and tables of a component: those of a plugin and the rules it wraps, and what their composition adds.
pub const PARTS_MAX: u32 = 16;
/// Memories of a component: the plugin's, and that of the rules it wraps.
pub const MEMORIES_MAX: u32 = 2;
pub const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Size of the cache of compiled code for runs of cases. What was used least recently goes first.
const CACHE_BYTES_MAX: u64 = 512 << 20;
/// Bytes that stay mapped in a freed slot: the working set of an ask, so that the next one finds its pages there.
const KEEP_RESIDENT: usize = 4 << 20;

/// How much an ask may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub fuel_max: u64,
    /// Processor time.
    pub time_max: Duration,
    pub memory_bytes_max: usize,
    pub output_bytes_max: usize,
}

impl Limits {
    /// The limits of an ask whose event, memory and replies are this long. They grow with the input, so that no body is
    /// poison merely because it is large.
    pub fn for_input(bytes: usize) -> Self {
        Self {
            fuel_max: FUEL_BASE.saturating_add(FUEL_PER_BYTE.saturating_mul(bytes as u64)),
            time_max: TIME_BASE + TIME_PER_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX)),
            memory_bytes_max: MEMORY_BASE.saturating_add(MEMORY_PER_BYTE.saturating_mul(bytes)).min(MEMORY_BYTES_MAX),
            output_bytes_max: OUTPUT_BASE.saturating_add(OUTPUT_PER_BYTE.saturating_mul(bytes)),
        }
    }

    /// The longest input whose memory limit is not cut off at [`MEMORY_BYTES_MAX`].
    pub fn input_bytes_max() -> usize {
        (MEMORY_BYTES_MAX - MEMORY_BASE) / MEMORY_PER_BYTE
    }
}

/// What an ask used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub fuel: u64,
    /// More than allowed if more was asked for and refused.
    pub memory_bytes: usize,
    /// Bytes of the texts in its answer: one more than allowed if the answer was cut off for its length.
    pub output_bytes: usize,
    /// Everything that was logged, kept or not.
    pub log_bytes: usize,
    /// Why the ask was ended with fuel left, if it was.
    pub ended: Option<Ended>,
}

/// What a store holds beside the instance.
#[derive(Debug)]
pub struct State {
    memory_bytes: usize,
    memory_bytes_max: usize,
    /// How much memory there would have been if some had not been refused: a trap that follows is a consequence.
    pub refused_bytes: usize,
    pub log: Vec<String>,
    /// Bytes of everything that was logged, line ends included; more than the limit if something was left out.
    log_bytes: usize,
    /// The last line that was logged, kept or not.
    pub last_line: String,
    /// Fuel that the log has cost.
    pub log_fuel: u64,
    watch: Watch,
}

/// An engine in which every feature that rules do not need is off, so that less can go wrong in a sandbox.
///
/// Fuel decides what takes too long: nothing that a component can import blocks, and the same input burns the same fuel
/// on every machine. NaNs are canonical for the same reason. What an operator makes the host do is part of its
/// [`costs`].
pub fn engine() -> anyhow::Result<Engine> {
    let mut config = common();
    config.allocation_strategy(pool());
    Engine::new(&config).map_err(anyhow::Error::from)
}

/// The same engine, compiling quickly and without optimising: to check a component that will not serve. Neither what a
/// component says nor the fuel that it burns depends on that.
pub fn checking_engine() -> anyhow::Result<Engine> {
    let mut config = hasty();
    config.allocation_strategy(pool());
    Engine::new(&config).map_err(anyhow::Error::from)
}

/// The same as [`checking_engine`], and finds in a folder what was compiled before.
pub fn testing_engine(cache: Option<&Path>) -> anyhow::Result<Engine> {
    let mut config = hasty();
    config.allocation_strategy(pool());
    if let Some(folder) = cache {
        let mut of_cache = CacheConfig::new();
        of_cache.with_directory(folder).with_files_total_size_soft_limit(CACHE_BYTES_MAX);
        config.cache(Some(Cache::new(of_cache).map_err(anyhow::Error::from)?));
    }
    Engine::new(&config).map_err(anyhow::Error::from)
}

/// The same as [`engine`], with a pool for one instance: for compiling, where one instance is made once. Its code runs
/// on [`engine`], and what would not fit there does not fit here.
pub fn compiling_engine() -> anyhow::Result<Engine> {
    let mut config = common();
    config.allocation_strategy(pool_for(1));
    Engine::new(&config).map_err(anyhow::Error::from)
}

/// An engine that compiles quickly and has no pool: for building components, where the instance is larger than one that
/// serves, and runs once.
pub fn building_engine() -> anyhow::Result<Engine> {
    Engine::new(&hasty()).map_err(anyhow::Error::from)
}

fn pool() -> InstanceAllocationStrategy {
    pool_for(INSTANCES_MAX)
}

fn pool_for(instances: u32) -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(MEMORY_BYTES_MAX)
        .total_component_instances(instances)
        .total_core_instances(instances * PARTS_MAX)
        .total_memories(instances * MEMORIES_MAX)
        .total_tables(instances * PARTS_MAX)
        .total_stacks(instances)
        .max_core_instances_per_component(PARTS_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(PARTS_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT / 16)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(instances);
    InstanceAllocationStrategy::Pooling(pool)
}

fn hasty() -> Config {
    let mut config = common();
    config.cranelift_opt_level(OptLevel::None).cranelift_regalloc_algorithm(RegallocAlgorithm::SinglePass);
    config
}

fn common() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .operator_cost(costs())
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_features(WasmFeatures::THREADS | WasmFeatures::SHARED_EVERYTHING_THREADS, false)
        .wasm_features(WasmFeatures::GC | WasmFeatures::EXCEPTIONS | WasmFeatures::LEGACY_EXCEPTIONS, false)
        .wasm_features(WasmFeatures::MEMORY64 | WasmFeatures::RELAXED_SIMD, false)
        .wasm_features(WasmFeatures::STACK_SWITCHING | WasmFeatures::CM_ASYNC, false)
        .wasm_component_model(true)
        // The address map says where in the wasm a trap was. That tells a tenant nothing, and takes up a third of the
        // compiled code.
        .generate_address_map(false)
        .max_wasm_stack(512 << 10);
    config
}

/// The costs of operators that do more than one instruction: they go into the host, which costs something even if
/// nothing is done there, and more with every unit of work. All other operators cost one.
fn costs() -> OperatorCost {
    let variable = VariableOperatorCost {
        memory_grow_per_page: 64,
        table_grow_per_element: 8,
        table_copy_per_element: 8,
        table_fill_per_element: 8,
        table_init_per_element: 16,
        ..VariableOperatorCost::new()
    };
    OperatorCost {
        MemoryGrow: GROW_FUEL,
        TableGrow: GROW_FUEL,
        MemoryCopy: 8,
        MemoryFill: 8,
        MemoryInit: 16,
        DataDrop: 16,
        TableCopy: 16,
        TableFill: 16,
        TableInit: 16,
        ElemDrop: 16,
        RefFunc: 16,
        variable,
        ..OperatorCost::new()
    }
}

/// A store for an ask: what runs in it yields after each slice of fuel, so that [`Watch::carry_out`] can check its
/// time.
pub fn watched(
    engine: &Engine,
    limits: Limits,
    has_parts: bool,
    wanted: StillWanted,
) -> anyhow::Result<(Store<State>, Watch)> {
    let mut store = store(engine, limits)?;
    store.fuel_async_yield_interval(Some(slice(limits, has_parts))).map_err(anyhow::Error::from)?;
    let watch = Watch::new(wanted, limits.time_max);
    store.data_mut().watch = watch.clone();
    Ok((store, watch))
}

/// Fuel between two checks of an ask.
fn slice(limits: Limits, has_parts: bool) -> u64 {
    if !has_parts {
        return SLICE_FUEL;
    }
    let times = (limits.memory_bytes_max / MEMORY_BASE).max(1) as u64;
    (SLICE_FUEL_OF_PARTS / times).max(SLICE_FUEL_OF_PARTS_MIN)
}

/// Takes fuel for a line of the log, which the host has to read whether it is kept or not.
pub fn pay_for_line(store: &mut StoreContextMut<State>, bytes: usize) -> wasmtime::Result<()> {
    let fuel = LOG_FUEL.saturating_add(LOG_FUEL_PER_BYTE.saturating_mul(bytes as u64));
    let left = store.get_fuel()?;
    store.set_fuel(left.saturating_sub(fuel))?;
    let state = store.data_mut();
    state.log_fuel = state.log_fuel.saturating_add(fuel.min(left));
    if left < fuel {
        return Err(Trap::OutOfFuel.into());
    }
    // To take fuel is to begin another slice, so a component that logs all the time may never reach the end of one.
    state.watch.look().map_err(wasmtime::Error::from)
}

/// A fresh store with these limits.
pub fn store(engine: &Engine, limits: Limits) -> anyhow::Result<Store<State>> {
    let state = State {
        memory_bytes: 0,
        memory_bytes_max: limits.memory_bytes_max,
        refused_bytes: 0,
        log: vec![],
        log_bytes: 0,
        last_line: String::new(),
        log_fuel: 0,
        watch: Watch::new(StillWanted::default(), limits.time_max),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| state);
    store.set_fuel(limits.fuel_max).map_err(anyhow::Error::from)?;
    store.set_hostcall_fuel(limits.output_bytes_max);
    Ok(store)
}

/// What has been used of the limits the store was made with.
pub fn usage(store: &Store<State>, limits: Limits) -> Usage {
    let left = store.get_fuel().unwrap_or(0);
    let State { memory_bytes, refused_bytes, log_bytes, .. } = *store.data();
    let memory_bytes = memory_bytes.max(refused_bytes);
    Usage { fuel: limits.fuel_max.saturating_sub(left), memory_bytes, output_bytes: 0, log_bytes, ended: None }
}

impl State {
    /// Begins the log anew.
    pub fn forget_log(&mut self) {
        self.log.clear();
        self.last_line.clear();
        (self.log_bytes, self.log_fuel) = (0, 0);
    }

    /// Keeps a line of the log, up to [`LOG_BYTES_MAX`] in all. A line that is cut says so.
    pub fn log(&mut self, line: &str) {
        self.last_line.clear();
        self.last_line.push_str(&line[..line.floor_char_boundary(LAST_LINE_BYTES_MAX)]);
        let Some(room) = LOG_BYTES_MAX.checked_sub(self.log_bytes) else {
            self.log_bytes = self.log_bytes.saturating_add(line.len() + 1);
            return;
        };
        self.log_bytes += line.len() + 1;
        if line.len() < room {
            self.log.push(line.to_owned());
        } else {
            self.log.push(format!("{} [TRUNCATED]", &line[..line.floor_char_boundary(room)]));
        }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.watch.look().map_err(wasmtime::Error::from)?;
        let total = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if total > self.memory_bytes_max {
            self.refused_bytes = total;
            return Ok(false);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.watch.look().map_err(wasmtime::Error::from)?;
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }
}
