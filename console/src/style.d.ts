// The bundler turns this import into the page's stylesheet.
declare module '*.css';
