/** Studies of the fixture. */
import type {
  RunOutcome,
  RunSeries,
  StudyCaseFile,
  StudyForm,
  StudyReport,
  StudyRun,
  StudySummary,
  Tutorial,
} from "../src/backend";

export interface Laboratory {
  studies: StudySummary[];
  report: StudyReport;
  runs: StudyRun[];
  text: string;
  form: StudyForm;
  case: StudyCaseFile[];
}

const form = (): StudyForm => ({
  variables: [],
  combine: "grid",
  table: null,
  limits: { atOnce: null, minutes: 60, memoryMib: null, vcpus: null, stopWhenDiverged: true },
});

const FOLDER = "/home/user/studies/cavity";
const OUTCOMES: RunOutcome[] = [
  "converged",
  "notConverged",
  "running",
  "diverged",
  "failed",
  "lost",
  "waiting",
];

const run = (number: number, outcome: RunOutcome): StudyRun => ({
  number,
  values: [["nu", String(number / 100)]],
  outcome,
  message: outcome === "diverged" ? "Residuals grew beyond all bounds at time 0.31" : null,
  hint: outcome === "diverged" ? "Take a smaller time step" : null,
  attempts: outcome === "waiting" ? 0 : 1,
  machine: outcome === "running" ? "m0" : null,
  steps: outcome === "waiting" ? 0 : 100 * number,
  lastTime: outcome === "waiting" ? null : number / 10,
  endTime: 1,
  mayGoOn: outcome === "converged" || outcome === "notConverged",
  seconds: outcome === "waiting" ? null : 1.5 * number,
  missingLibraries: [],
  trend: outcome === "waiting" ? [] : [0, -1, -1.6, -2.4, outcome === "diverged" ? 2 : -4],
  results: outcome === "converged" ? { drag: String(0.3 + number / 10) } : {},
});

function series(): RunSeries {
  const times = Array.from({ length: 200 }, (_, step) => (step + 1) / 200);
  const falling = (from: number, rate: number) =>
    times.map((time) => from * Math.exp(-rate * time));
  return {
    times,
    residuals: [
      { name: "Ux", values: falling(1, 9) },
      { name: "Uy", values: falling(0.8, 8) },
      { name: "p", values: falling(1, 6) },
    ],
    others: [{ name: "Courant Number max", values: times.map((time) => 0.8 + time / 20) }],
    targets: [{ field: "p", tolerance: 0.01 }],
    tail: "Time = 0.995\nSolving for Ux, Initial residual = 0.0001\nEnd\n",
  };
}

const report = (): StudyReport => ({
  title: "Cavity over four viscosities",
  appliance: "openfoam",
  steps: ["blockMesh", "icoFoam"],
  application: "icoFoam",
  cells: 400,
  packages: [
    {
      name: "openfoam.core-1912",
      reason: "openfoam.icofoam-1912 lies on it",
      isInstalled: true,
      recipe: "openfoam-1912",
    },
    {
      name: "openfoam.icofoam-1912",
      reason: "the solver",
      isInstalled: false,
      recipe: "openfoam-1912",
    },
  ],
  guest: "linux",
  guestReason: "It runs several programs, one after the other",
  findings: [],
  runs: [1, 2, 3, 4].map((number) => ({
    number,
    values: [["nu", String(number / 100)]],
    differences: [
      {
        file: "constant/transportProperties",
        line: 18,
        before: "nu 0.01;",
        after: `nu ${number / 100};`,
      },
    ],
  })),
});

export const emptyLaboratory = (): Laboratory => ({
  studies: [],
  report: report(),
  runs: [],
  text: "",
  form: form(),
  case: [],
});

export const fullLaboratory = (): Laboratory => ({
  studies: [
    {
      id: FOLDER,
      title: "Cavity over four viscosities",
      appliance: "openfoam",
      addedAt: "2026-11-22T18:00:00Z",
      runs: OUTCOMES,
      isRunning: true,
      problem: null,
    },
    {
      id: "/home/user/studies/gone",
      title: "gone",
      appliance: null,
      addedAt: "2026-11-20T18:00:00Z",
      runs: [],
      isRunning: false,
      problem: "There is no study.yaml in /home/user/studies/gone",
    },
  ],
  report: report(),
  runs: OUTCOMES.map((outcome, at) => run(at + 1, outcome)),
  text: "title: Cavity over four viscosities\ncase: case\nappliance: openfoam\n",
  form: {
    ...form(),
    variables: [
      {
        name: "nu",
        place: { at: "entry", file: "constant/transportProperties", entry: "nu" },
        values: { from: "list", values: ["0.01", "0.02", "0.03", "0.04"] },
      },
    ],
  },
  case: [
    {
      path: "0/U",
      entries: [
        { path: "internalField", value: "(10 0 0)", line: 19 },
        { path: "boundaryField/movingWall/value", value: "(1 0 0)", line: 26 },
      ],
    },
    {
      path: "constant/transportProperties",
      entries: [{ path: "nu", value: "0.01", line: 18 }],
    },
    {
      path: "system/controlDict",
      entries: [
        { path: "application", value: "icoFoam", line: 17 },
        { path: "endTime", value: "0.5", line: 25 },
        { path: "deltaT", value: "0.005", line: 27 },
      ],
    },
  ],
});

const TUTORIALS: Tutorial[] = (
  [
    [
      "incompressible/icoFoam/cavity/cavity",
      "icoFoam",
      "Transient solver for incompressible, laminar flow of Newtonian fluids",
    ],
    [
      "incompressible/simpleFoam/airFoil2D",
      "simpleFoam",
      "Steady-state solver for incompressible, turbulent flows",
    ],
    [
      "incompressible/simpleFoam/pitzDaily",
      "simpleFoam",
      "Steady-state solver for incompressible, turbulent flows",
    ],
    ["multiphase/interFoam/laminar/damBreak/damBreak", "interFoam", null],
  ] as const
).map(([name, solver, about]) => ({ name, folder: `/usr/share/examples/${name}`, solver, about }));

export function laboratoryHandlers(
  laboratory: Laboratory,
): Record<string, (args: Record<string, unknown>) => unknown> {
  return {
    study_list: () => laboratory.studies,
    study_new: () => FOLDER,
    study_remove: ({ folder }) => {
      laboratory.studies = laboratory.studies.filter(({ id }) => id !== folder);
      return null;
    },
    study_tutorials: () => TUTORIALS,
    study_check: () => laboratory.report,
    study_text: () => laboratory.text,
    study_save_text: ({ text }) => {
      laboratory.text = String(text);
      return laboratory.report;
    },
    study_case: () => laboratory.case,
    study_form: () => laboratory.form,
    study_save_form: ({ form }) => {
      const next = form as StudyForm;
      for (const { name, values } of next.variables)
        if (values.from === "list" && values.values.length === 0)
          throw { kind: "input", message: `${name}: there are no values`, hints: [], chain: [] };
      laboratory.form = next;
      return laboratory.report;
    },
    study_load_table: () => laboratory.form,
    study_room: () => ({ processors: 8, freeMib: 12288, atOnce: 8, memoryMib: 512, vcpus: 1 }),
    study_run: () => "job-study",
    study_runs: () => laboratory.runs,
    study_series: () => series(),
    study_results: () => "run,nu,outcome\n1,0.01,converged\n",
  };
}
