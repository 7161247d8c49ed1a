/** The row of tokens: upright where steps are narrow, and as many as fit. */

import { isReal, sampleName, tokenAt, type Model } from "./data";
import { clipPlot, stepWidth, xOf } from "./frame";
import { stepsShown } from "./heatmap";
import { hatching } from "./colours";
import { FONT, shorten, type Row } from "./row";
import { paintClipped } from "./series";

const HEIGHT = 76;

export function tokensRow(model: Model): Row {
  return {
    id: "tokens",
    title: "tokens",
    height: HEIGHT,
    at: null,
    describe: (view) => `Tokens of ${sampleName(model, view.sample)}, ${stepsShown(model, view)}`,
    legend: () => null,
    paint(ctx, frame, view, theme) {
      ctx.save();
      clipPlot(ctx, frame, HEIGHT);
      ctx.font = FONT;
      ctx.textBaseline = "middle";
      const width = stepWidth(frame);
      const padding = hatching(ctx, theme);
      // Narrow steps leave room for every n-th token; the readout has them all.
      const every = Math.ceil(14 / width);
      for (let step = Math.floor(view.from / every) * every; step < view.to; step++) {
        const x = xOf(frame, step + 0.5);
        if (!isReal(model.real, model.steps, view.sample, step)) {
          ctx.fillStyle = padding;
          ctx.fillRect(xOf(frame, step), 0, width + 0.5, HEIGHT);
          continue;
        }
        if (step % every !== 0) continue;
        const token = tokenAt(model, view.sample, step) ?? "";
        ctx.fillStyle = theme.text;
        ctx.save();
        if (width >= 56) {
          ctx.textAlign = "center";
          ctx.translate(x, HEIGHT / 2);
          ctx.fillText(shorten(ctx, token, width - 6), 0, 0);
        } else {
          ctx.textAlign = "left";
          ctx.translate(x, HEIGHT - 4);
          ctx.rotate(-Math.PI / 2);
          ctx.fillText(shorten(ctx, token, HEIGHT - 8), 0, 0);
        }
        ctx.restore();
      }
      ctx.restore();
    },
    overlay: (ctx, frame, view, theme) => paintClipped(ctx, frame, view, theme, HEIGHT),
  };
}
