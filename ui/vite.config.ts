import { paraglideVitePlugin } from "@inlang/paraglide-js";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [
    svelte(),
    paraglideVitePlugin({
      project: "./project.inlang",
      outdir: "./src/messages",
      outputStructure: "locale-modules",
      strategy: ["baseLocale"],
    }),
  ],
  clearScreen: false,
  // The icon of the application lies beside this folder.
  server: { fs: { allow: [".."] } },
  build: {
    // WebKitGTK 2.50 is what the window runs in; it knows all that Safari 18 does.
    target: ["safari18", "chrome130"],
    // The terminal and the display are large and loaded when they are first opened.
    chunkSizeWarningLimit: 700,
  },
  // Component tests run the client build of Svelte, not the server's.
  resolve: process.env["VITEST"] ? { conditions: ["browser"] } : {},
  test: {
    environment: "jsdom",
    include: ["tests/**/*.test.ts"],
    setupFiles: ["tests/setup.ts"],
    testTimeout: 20_000,
  },
});
