//! Tandem's host. `ARCHITECTURE.md` is the map.

pub mod bake;
pub mod budget;
pub mod check;
pub mod cli;
pub mod client;
pub mod clock;
pub mod compliance;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod engine;
pub mod events;
pub mod inspect;
pub mod journal;
pub mod lanes;
pub mod mapping;
pub mod model;
pub mod paint;
pub mod playground;
pub mod retry;
pub mod rules;
pub mod sandbox;
pub mod serve;
pub mod setup;
pub mod verify;
pub mod webhook;
