/* What the agent says of its rigs, fetched again and again; the views show it. */

import { Problem } from "./api.js";

const EVERY_MS = 10_000;
const DUTIES_SHOWN = 1000;

/** How everything stands. An event "change" says that it was fetched anew, or could not be. */
export class Standing extends EventTarget {
  #api;
  #clock;
  #timer = null;
  #going = null;
  #isAskedAgain = false;
  #said = "";
  version = 0; // Another one with each change of what is shown; passing time is none.

  constructor(api, clock) {
    super();
    this.#api = api;
    this.#clock = clock;
    this.clear();
    document.addEventListener("visibilitychange", () => {
      if (this.#timer !== null && !document.hidden) this.refresh();
    });
  }

  /** Forget everything. */
  clear() {
    this.rigs = [];
    this.devices = new Map();
    this.radios = new Map();
    this.since = new Map();
    this.elsewhere = [];
    this.upstreams = null;
    this.madeAt = null;
    this.error = null;
    this.problems = new Map();
    this.#said = "";
    this.version += 1;
  }

  /** Fetch now and from then on. */
  start() {
    this.#timer ??= setInterval(() => document.hidden || this.refresh(), EVERY_MS);
    return this.refresh();
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }

  /** Fetch now; while that goes on, another call has it done once more. */
  refresh() {
    if (this.#going) {
      this.#isAskedAgain = true;
      return this.#going;
    }
    this.#going = this.#all().finally(() => {
      this.#going = null;
    });
    return this.#going;
  }

  /** Give the rig on which a run of this server is under way, with that run. */
  underWay() {
    return this.rigs.filter((rig) => rig.running);
  }

  /** Give every device with its rig. */
  allDevices() {
    return this.rigs.flatMap((rig) =>
      (this.devices.get(rig.name)?.devices ?? []).map((device) => ({ ...device, rig: rig.name })),
    );
  }

  async #all() {
    do {
      this.#isAskedAgain = false;
      try {
        await this.#fetch();
        this.error = null;
        this.#compare();
      } catch (error) {
        this.error = error;
      }
      if (this.#timer !== null) this.dispatchEvent(new Event("change"));
    } while (this.#isAskedAgain && this.#timer !== null);
  }

  #compare() {
    const said = JSON.stringify([
      this.rigs,
      [...this.devices.values()].map((document) => document.devices),
      [...this.radios],
      [...this.since],
      [...this.problems].map(([name, problem]) => [name, problem.message]),
      this.elsewhere,
    ]);
    if (said === this.#said) return;
    this.#said = said;
    this.version += 1;
  }

  async #fetch() {
    const { rigs } = await this.#api.get("/rigs");
    this.rigs = rigs;
    const others = [this.#fetchElsewhere(), this.#fetchUpstreams()];
    await Promise.all([...rigs.map((rig) => this.#fetchRig(rig)), ...others]);
  }

  async #fetchRig(rig) {
    this.problems.delete(rig.name);
    if (rig.problem) return;
    const name = encodeURIComponent(rig.name);
    try {
      const document = await this.#api.get(`/rigs/${name}/devices`);
      this.#clock.sync(document.made_at);
      this.madeAt = document.made_at;
      this.devices.set(rig.name, document);
      await Promise.all(document.devices.map((device) => this.#fetchSince(device)));
      if (rig.radios.length) {
        this.radios.set(rig.name, (await this.#api.get(`/rigs/${name}/radios`)).radios);
      }
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 401) throw error;
      this.problems.set(rig.name, error);
    }
  }

  /** Find out since when a device is suspended; asked once for each suspension. */
  async #fetchSince(device) {
    const key = `${device.smi_status} ${device.suspended_under}`;
    if (!device.suspended_under || this.since.get(device.entity_id)?.key === key) return;
    const facts = await this.#api.get(`/devices/${device.entity_id}/facts`);
    const at = facts.smi_status.findLast((held) => held.status === device.smi_status)?.at ?? null;
    this.since.set(device.entity_id, { key, at });
  }

  async #fetchElsewhere() {
    const document = await this.#api.get(`/duties?limit=${DUTIES_SHOWN}`);
    this.elsewhere = document.duties.filter((duty) => duty.rig === null);
  }

  async #fetchUpstreams() {
    try {
      this.upstreams = (await this.#api.get("/outbox")).upstreams;
    } catch (error) {
      if (!(error instanceof Problem) || error.status === 401) throw error;
      this.upstreams = null;
    }
  }
}
