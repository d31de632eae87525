// VitePress's own theme, with the fonts of the reader's system: nothing is fetched from elsewhere.
import { onContentUpdated } from "vitepress";
import theme from "vitepress/theme-without-fonts";
import { h } from "vue";
import samples from "../../../examples/gan-digits/docs/images/samples.png";
import { enhanceTables } from "./tables.mjs";
import "./style.css";

const picture = () =>
  h("img", {
    class: "samples",
    src: samples,
    alt: "Digits that a generator drew, from noise on the left to the end of its training on the right",
  });

const Layout = {
  setup() {
    onContentUpdated(() => enhanceTables(document));
    return () => h(theme.Layout, null, { "home-hero-image": picture });
  },
};

export default { extends: theme, Layout };
