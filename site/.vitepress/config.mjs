import { slug } from "github-slugger";
import { defineConfig } from "vitepress";
import { sidebar } from "../sidebar.mjs";

const icon =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath d='M3 6c9 0 8 20 26 20' fill='none' stroke='%233b7dc4' stroke-width='5' stroke-linecap='round'/%3E%3C/svg%3E";

const description =
  "Optimizers for neural networks in JavaScript: AdamW and more, accumulation, clipping, mixed precision and exact resume";

// Buttons that need JavaScript go where there is none; on a phone the list of pages stands below the page, in place of the menu.
const withoutScript = `<style>
.VPNavBarSearch, .VPNavBarExtra, .VPNavBarHamburger, .VPLocalNav { display: none !important; }
.VPSidebarItem.collapsed .items { display: block !important; }
@media (max-width: 959px) {
  .Layout .VPSidebar {
    position: static; order: 1; width: auto; max-width: none; padding: 32px;
    visibility: visible; opacity: 1; transform: none; box-shadow: none;
  }
}
</style>`;

// A preview needs the whole address of its picture: SITE_URL is where the site will be.
export default defineConfig({
  title: "mm-optim",
  description,
  lang: "en",
  srcDir: ".pages",
  outDir: "dist",
  cacheDir: ".cache",
  head: [
    ["link", { rel: "icon", href: icon }],
    ["noscript", {}, withoutScript],
    ["meta", { property: "og:title", content: "mm-optim" }],
    ["meta", { property: "og:description", content: description }],
    ["meta", { property: "og:image", content: `${process.env.SITE_URL ?? ""}/social.png` }],
    ["meta", { property: "og:image:alt", content: "mm-optim: digits drawn by a generator as it trains" }],
    ["meta", { name: "twitter:card", content: "summary_large_image" }],
  ],
  // Programs are built afterwards.
  ignoreDeadLinks: [/^\/run\//],
  // The longest pages are those of the API. Pictures stay files, which the style sheet knows by name.
  vite: { build: { chunkSizeWarningLimit: 2000, assetsInlineLimit: 0 } },
  // Headings have the anchors that they have where the Markdown is read as it is.
  markdown: {
    anchor: { slugify: slug },
    theme: { light: "github-light-high-contrast", dark: "github-dark-high-contrast" },
  },
  themeConfig: {
    nav: [
      { text: "Why", link: "/why" },
      { text: "Quick start", link: "/quick-start" },
      { text: "Examples", link: "/examples" },
      { text: "API", link: "/api/" },
    ],
    sidebar: sidebar(),
    outline: [2, 3],
    search: { provider: "local" },
  },
});
