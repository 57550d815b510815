// The entry point of the component: the plugin around the default rules, which `tandem build` links to the first
// import.

import * as inner from "tandem:rules/rules@0.1.0";
import { log } from "tandem:rules/host@0.1.0";
import { plugin } from "./rules.js";
import { wrap } from "./tandem.js";

export const rules = wrap(plugin, inner, log);
