module.exports = {
  mode: 'development',
  entry: './src/index.js',
  devServer: {
    proxy: [{ context: ['/api'], target: 'http://127.0.0.1:8787' }],
  },
};
